"""Which rows are shown, what their labels say, and how an augmentation is run on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lepton_ai.datasets.batch import Augment, Batch
from lepton_ai.datasets.cells import category_text
from lepton_ai.tensors import Array

if TYPE_CHECKING:
    from lepton_ai.datasets.dataset import Dataset

_ROW = "row"
_OWN = 0.995
"""A share of a row's own from which a mixed row is as it was."""


def choose_rows(data: Dataset, count: int, random: np.random.Generator) -> list[int]:
    """So many rows, or all there are, in their order."""
    return sorted(random.choice(len(data), min(count, len(data)), replace=False).tolist())


def labels_of(data: Dataset, rows: list[int]) -> list[str]:
    """The targets of these rows as text; empty without a target."""
    target = data.schema.target
    if target is None:
        return [""] * len(rows)
    return [label_text(row[target.name]) for row in data.select([target.name]).take(rows).rows()]


def label_text(value: Any) -> str:
    """A value in few characters."""
    if value is None:
        return "missing"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}"
    return category_text(value) or ""


def varied(
    augment: Augment, inputs: dict[str, Array], times: int, random: np.random.Generator
) -> Iterator[tuple[dict[str, Array], list[tuple[int, float]]]]:
    """Rows varied so many times: new inputs, and for each row the one that it was mixed with and its own share."""
    count = len(next(iter(inputs.values())))
    own = torch.arange(count)
    for _ in range(times):
        batch = augment(
            Batch({name: torch.from_numpy(np.array(values)) for name, values in inputs.items()}, {_ROW: own}), random
        )
        others, share = (own, 1.0) if batch.mixed is None else (batch.mixed.targets[_ROW], batch.mixed.share)
        mixes = [(int(other), share) for other in others]
        yield {name: values.numpy() for name, values in batch.inputs.items()}, mixes


def mixed_label(labels: list[str], row: int, mix: tuple[int, float]) -> str:
    """What a varied row is: its own label, with the other's when they were mixed."""
    other, share = mix
    if share > _OWN or labels[row] == labels[other]:
        return labels[row]
    return f"{labels[row]} {share:.2f} + {labels[other]} {1 - share:.2f}"
