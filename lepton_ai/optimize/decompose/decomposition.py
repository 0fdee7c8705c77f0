"""Splits the layers of a trained model that gain by it, then trains on, so that the parts make up for what was cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal, TypeGuard, get_args

import torch
from torch import nn

from lepton_ai.errors import InvalidInput
from lepton_ai.models.structure.changes import Change, split_layer
from lepton_ai.optimize.finetuning import copied, tune

if TYPE_CHECKING:
    from lepton_ai.models.model import Model
    from lepton_ai.optimize.candidate import Value
    from lepton_ai.optimize.methods import Workpiece

Kind = Literal["dense", "tucker", "cp", "depthwise", "branches"]
_ENERGY = 0.9
_BRANCHES = 2
_LEAST_SAVED = 0.75
"""A layer is split when its parts have at most this share of its weights."""


def decompose(model: Model, piece: Workpiece, parameters: Mapping[str, Value]) -> Model:
    """A model with its layers of one kind in parts, trained on.

    `kind`: "dense" (low rank of dense layers), or of convolutions larger than one pixel "tucker", "cp" (low rank),
    "depthwise", "branches" (two halves of the channels side by side, which do not see each other);
    `energy`: the share of a layer's squared singular values that is kept; `epochs` of training.
    Raises InvalidInput when no layer of the model would become smaller.
    """
    kind = parameters.get("kind", "dense")
    if kind not in get_args(Kind):
        raise InvalidInput.of_field("kind", f"there is no {kind!r}", fix=f"There are {', '.join(get_args(Kind))}.")
    changed = copied(model)
    changes = list(split_layers(changed.network, str(kind), energy=float(parameters.get("energy", _ENERGY))))
    if not changes:
        raise InvalidInput(
            f"No layer of this model becomes smaller by {kind} decomposition.", reason="NOTHING_TO_DECOMPOSE"
        )
    changed.structure += changes
    return tune(changed, piece, epochs=int(parameters.get("epochs", 0)))


def split_layers(network: nn.Module, kind: str, *, energy: float) -> Iterator[Change]:
    """Split every layer of this kind that becomes smaller by it, in place."""
    for name, layer in list(network.named_modules()):
        ranks = _RANKS[kind](layer, energy)
        if ranks is not None:
            yield split_layer(network, name, kind, ranks)


def _dense_rank(layer: nn.Module, energy: float) -> list[int] | None:
    if not isinstance(layer, nn.Linear):
        return None
    rank = _rank(layer.weight.detach(), energy)
    parts = rank * (layer.in_features + layer.out_features)
    return [rank] if parts <= _LEAST_SAVED * layer.weight.numel() else None


def _tucker_ranks(layer: nn.Module, energy: float) -> list[int] | None:
    if not _is_wide_convolution(layer):
        return None
    weight = layer.weight.detach()
    before, after = _rank(weight.transpose(0, 1).flatten(1), energy), _rank(weight.flatten(1), energy)
    pixels = weight[0, 0].numel()
    parts = before * layer.in_channels + before * after * pixels + after * layer.out_channels
    return [before, after] if parts <= _LEAST_SAVED * weight.numel() else None


def _cp_rank(layer: nn.Module, energy: float) -> list[int] | None:
    """The larger of Tucker's two ranks, which a sum of products needs at least."""
    if not _is_wide_convolution(layer):
        return None
    weight = layer.weight.detach()
    rank = max(_rank(weight.transpose(0, 1).flatten(1), energy), _rank(weight.flatten(1), energy))
    parts = rank * (layer.in_channels + weight[0, 0].numel() + layer.out_channels)
    return [rank] if parts <= _LEAST_SAVED * weight.numel() else None


def _branches(layer: nn.Module, energy: float) -> list[int] | None:
    if not _is_wide_convolution(layer) or layer.in_channels % _BRANCHES or layer.out_channels % _BRANCHES:
        return None
    return [_BRANCHES]


def _depthwise(layer: nn.Module, energy: float) -> list[int] | None:
    return [] if _is_wide_convolution(layer) and layer.in_channels > 1 else None


def _is_wide_convolution(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    return isinstance(layer, nn.Conv2d) and layer.groups == 1 and layer.weight[0, 0].numel() > 1


def _rank(matrix: torch.Tensor, energy: float) -> int:
    """How many singular values hold this share of the sum of their squares."""
    squares = torch.linalg.svdvals(matrix) ** 2
    held = torch.cumsum(squares, 0) / squares.sum().clamp_min(torch.finfo(squares.dtype).tiny)
    return min(len(squares), int((held < energy).sum()) + 1)


_RANKS: Mapping[str, Callable[[nn.Module, float], list[int] | None]] = {
    "dense": _dense_rank,
    "tucker": _tucker_ranks,
    "cp": _cp_rank,
    "depthwise": _depthwise,
    "branches": _branches,
}
