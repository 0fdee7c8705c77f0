"""Layers in parts, with the weights that come nearest to the whole layer's (truncated singular values)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

_SWEEPS, _RIDGE = 30, 1e-4


def split_dense(layer: nn.Linear, rank: int) -> nn.Sequential:
    """Two dense layers of this rank in place of one (Eckart and Young 1936)."""
    narrow = nn.Linear(layer.in_features, rank, bias=False)
    wide = nn.Linear(rank, layer.out_features, bias=layer.bias is not None)
    u, s, v = torch.linalg.svd(layer.weight.detach(), full_matrices=False)
    root = s[:rank].sqrt()
    with torch.no_grad():
        narrow.weight.copy_(root[:, None] * v[:rank])
        wide.weight.copy_(u[:, :rank] * root)
        _copy_bias(layer, wide)
    return nn.Sequential(narrow, wide)


def split_tucker(layer: nn.Conv2d, rank_in: int, rank_out: int) -> nn.Sequential:
    """A small convolution between two of one pixel in place of a large one: Tucker-2 (Kim et al. 2016)."""
    weight = layer.weight.detach()
    before = _leading(weight.transpose(0, 1).flatten(1), rank_in)
    after = _leading(weight.flatten(1), rank_out)
    core = torch.einsum("oihw,ir,os->srhw", weight, before, after)
    first = nn.Conv2d(layer.in_channels, rank_in, 1, bias=False)
    middle = _like(layer, rank_in, rank_out, groups=1, bias=False)
    last = nn.Conv2d(rank_out, layer.out_channels, 1, bias=layer.bias is not None)
    with torch.no_grad():
        first.weight.copy_(before.T[:, :, None, None])
        middle.weight.copy_(core)
        last.weight.copy_(after[:, :, None, None])
        _copy_bias(layer, last)
    return nn.Sequential(first, middle, last)


def split_depthwise(layer: nn.Conv2d) -> nn.Sequential:
    """A convolution of every channel alone, then one of one pixel across channels, as MobileNets have them.

    Of each input channel's filters the part that all have in common: the best of rank one (Guo et al. 2018).
    """
    weight = layer.weight.detach()
    outputs, inputs = weight.shape[:2]
    u, s, v = torch.linalg.svd(weight.transpose(0, 1).reshape(inputs, outputs, -1), full_matrices=False)
    root = s[:, :1].sqrt()
    apart = _like(layer, inputs, inputs, groups=inputs, bias=False)
    across = nn.Conv2d(inputs, outputs, 1, bias=layer.bias is not None)
    with torch.no_grad():
        apart.weight.copy_((root * v[:, 0]).reshape(apart.weight.shape))
        across.weight.copy_((root * u[:, :, 0]).T[:, :, None, None])
        _copy_bias(layer, across)
    return nn.Sequential(apart, across)


def split_cp(layer: nn.Conv2d, rank: int) -> nn.Sequential:
    """A convolution of every channel alone between two of one pixel: canonical polyadic decomposition of the filters,
    height and width taken as one (Lebedev et al. 2015), by alternating least squares."""
    weight = layer.weight.detach()
    after, before, pixels = _polyadic(weight.flatten(2), rank)
    first = nn.Conv2d(layer.in_channels, rank, 1, bias=False)
    middle = _like(layer, rank, rank, groups=rank, bias=False)
    last = nn.Conv2d(rank, layer.out_channels, 1, bias=layer.bias is not None)
    with torch.no_grad():
        first.weight.copy_(before.T[:, :, None, None])
        middle.weight.copy_(pixels.T.reshape(middle.weight.shape))
        last.weight.copy_(after[:, :, None, None])
        _copy_bias(layer, last)
    return nn.Sequential(first, middle, last)


def split_branches(layer: nn.Conv2d, count: int) -> nn.Sequential:
    """Convolutions side by side, each from its share of the channels to its share: a grouped one (Krizhevsky et al.
    2012), with the weights that the whole one has between channels of the same share."""
    split = _like(layer, layer.in_channels, layer.out_channels, groups=count, bias=layer.bias is not None)
    shares = zip(layer.weight.detach().chunk(count), range(count), strict=True)
    width = layer.in_channels // count
    with torch.no_grad():
        split.weight.copy_(torch.cat([share[:, place * width : (place + 1) * width] for share, place in shares]))
        _copy_bias(layer, split)
    return nn.Sequential(split)


def _polyadic(tensor: Tensor, rank: int) -> list[Tensor]:
    """Factors [size, rank] of a tensor of three ways, whose products over all ranks add up to nearly it.

    What several ranks share is kept small by a ridge, without which they grow against each other.
    """
    generator = torch.Generator().manual_seed(0)
    factors = [torch.randn(size, rank, generator=generator) / rank**0.5 for size in tensor.shape]
    for _ in range(_SWEEPS):
        for way in range(len(factors)):
            first, second = (factors[other] for other in range(len(factors)) if other != way)
            seen = torch.einsum("ar,br->abr", first, second).flatten(0, 1)
            gram = (first.T @ first) * (second.T @ second)
            ridge = _RIDGE * gram.diagonal().mean() * torch.eye(rank)
            factors[way] = torch.linalg.solve(gram + ridge, seen.T @ tensor.movedim(way, 0).flatten(1).T).T
    sizes = [factor.norm(dim=0).clamp_min(torch.finfo(factor.dtype).tiny) for factor in factors]
    shared = torch.stack(sizes).prod(0) ** (1 / len(factors))
    return [factor / size * shared for factor, size in zip(factors, sizes, strict=True)]


def replace_layer(network: nn.Module, name: str, layer: nn.Module) -> None:
    """Put a layer in the place of the one of this name."""
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, layer)


def _like(layer: nn.Conv2d, inputs: int, outputs: int, *, groups: int, bias: bool) -> nn.Conv2d:
    """A convolution over the same pixels."""
    size, stride, dilation = (cast(tuple[int, int], each) for each in (layer.kernel_size, layer.stride, layer.dilation))
    padding = cast(tuple[int, int], layer.padding)
    return nn.Conv2d(inputs, outputs, size, stride, padding, dilation, groups, bias, layer.padding_mode)


def _leading(matrix: Tensor, rank: int) -> Tensor:
    u: Tensor = torch.linalg.svd(matrix, full_matrices=False)[0]
    return u[:, :rank]


def _copy_bias(source: nn.Linear | nn.Conv2d, target: nn.Linear | nn.Conv2d) -> None:
    if source.bias is not None and target.bias is not None:
        target.bias.copy_(source.bias)
