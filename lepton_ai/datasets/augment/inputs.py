"""Finds the inputs of a batch that an augmentation is for, and puts the varied ones in their place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lepton_ai.datasets.batch import Batch
from lepton_ai.errors import InvalidInput

Vary = Callable[[Tensor], Tensor]

_COLOURS = (1, 3)


def vary_pictures(batch: Batch, vary: Vary) -> Batch:
    """Varies all pictures: [N, height, width, channels], of bytes or of floats. Raises InvalidInput without any."""
    return _varied(batch, _are_pictures, lambda pictures: _as_they_lie(pictures, vary), "pictures")


def vary_tokens(batch: Batch, vary: Vary) -> Batch:
    """Varies ids of tokens: int64 [N, length]; a mask of zeros and ones stays. Raises InvalidInput without any."""
    return _varied(batch, lambda ids: ids.ndim == 2 and ids.dtype == torch.int64, vary, "texts as ids of tokens")


def vary_spectrograms(batch: Batch, vary: Vary) -> Batch:
    """Varies log-mel spectrograms: float [N, bands, frames]. Raises InvalidInput without any."""
    return _varied(batch, lambda sounds: sounds.ndim == 3 and sounds.is_floating_point(), vary, "log-mel spectrograms")


def vary_numbers(batch: Batch, vary: Vary) -> Batch:
    """Varies rows of numbers: float [N, columns]. Raises InvalidInput without any."""
    return _varied(batch, lambda rows: rows.ndim == 2 and rows.is_floating_point(), vary, "rows of numbers")


def column(values: np.ndarray[tuple[int], np.dtype[np.float64]], like: Tensor) -> Tensor:
    """One number a row, to be broadcast over the other dimensions of `like`, as float32."""
    return torch.from_numpy(values.astype(np.float32)).view(-1, *[1] * (like.ndim - 1))


def in_type(values: Tensor, like: Tensor) -> Tensor:
    """Computed values in the type that the input had: bytes are rounded and kept within 0 to 255."""
    if like.dtype == torch.uint8:
        return values.round_().clamp_(0, 255).to(torch.uint8)
    return values.to(like.dtype)


def check_within(name: str, value: float, low: float, high: float) -> None:
    """Raises InvalidInput for a parameter that is not from `low` to `high`."""
    if not low <= value <= high:
        raise InvalidInput.of_field(name, f"is {value}, must be from {low:g} to {high:g}")


def _varied(batch: Batch, matches: Callable[[Tensor], bool], vary: Vary, wanted: str) -> Batch:
    inputs = {name: vary(tensor) if matches(tensor) else tensor for name, tensor in batch.inputs.items()}
    if not any(map(matches, batch.inputs.values())):
        found = ", ".join(f"{name} {tensor.dtype} {list(tensor.shape)}" for name, tensor in batch.inputs.items())
        raise InvalidInput(
            f"This augmentation is for {wanted}; the network's inputs are {found}.",
            reason="WRONG_AUGMENTATION",
            fix="Take one for this kind of data, see lepton_ai.datasets.augment.",
        )
    return replace(batch, inputs=inputs)


def _are_pictures(tensor: Tensor) -> bool:
    if tensor.ndim != 4 or not (tensor.dtype == torch.uint8 or tensor.is_floating_point()):
        return False
    return tensor.shape[3] in _COLOURS or tensor.shape[1] in _COLOURS


def _as_they_lie(pictures: Tensor, vary: Vary) -> Tensor:
    """Pictures with channels in front are seen with channels behind for as long as they are varied."""
    if pictures.shape[3] in _COLOURS:
        return vary(pictures)
    return vary(pictures.permute(0, 2, 3, 1).contiguous()).permute(0, 3, 1, 2).contiguous()
