"""Sequences of unequal length in one tensor, filled up behind: what is computed of them never sees the padding.

Everything here goes through ONNX with a free batch dimension. A mask is bool [N, steps], true for real steps, which
come first.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST = -1e9
"""Less than anything a network computes; infinity would give NaN where nothing is real."""


def without_common_padding(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Cut what is padding in every row of the batch, at least one step being left.

    Not while a network is traced: the cut would become a part of it.
    """
    if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
        return values, mask
    longest = max(1, int(mask.sum(dim=1).max()))
    return values[:, :longest], mask[:, :longest]


def reversed_steps(values: Tensor, mask: Tensor) -> Tensor:
    """The real steps of [N, steps, features] from the last to the first, the padding where it was."""
    steps = torch.arange(values.shape[1], device=values.device)
    mirrored = mask.sum(dim=1, keepdim=True) - 1 - steps
    places = torch.where(mirrored >= 0, mirrored, steps)
    return values.gather(1, places.unsqueeze(2).expand(-1, -1, values.shape[2]))


def last_step(values: Tensor, mask: Tensor) -> Tensor:
    """Of [N, steps, features] the last real step: [N, features]. Of an empty sequence its first padding."""
    last = (mask.sum(dim=1) - 1).clamp(min=0)
    return values.gather(1, last.view(-1, 1, 1).expand(-1, 1, values.shape[2])).squeeze(1)


def mean_step(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of the real steps: [N, features]; zeros for an empty sequence."""
    weights = mask.unsqueeze(2).to(values.dtype)
    return (values * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def greatest_step(values: Tensor, mask: Tensor) -> Tensor:
    """The greatest of every feature over the real steps: [N, features]; zeros for an empty sequence."""
    greatest = values.masked_fill(~mask.unsqueeze(2), _LEAST).amax(dim=1)
    return greatest * mask.any(dim=1, keepdim=True).to(values.dtype)


def attention_bias(mask: Tensor) -> Tensor:
    """What to add to attention scores [N, heads, steps, steps] so that nothing looks at padding: [N, 1, 1, steps]."""
    return (~mask).to(torch.float32).view(mask.shape[0], 1, 1, mask.shape[1]) * _LEAST
