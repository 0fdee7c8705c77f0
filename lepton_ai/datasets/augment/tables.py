"""Augmentation of tables: numbers that vary a little, and rare classes that come more often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lepton_ai.datasets.augment.inputs import check_within, vary_numbers
from lepton_ai.datasets.batch import Batch

if TYPE_CHECKING:
    from lepton_ai.datasets.dataset import Dataset

OVERSAMPLE = "oversample"
"""Name of the operation in a data set's lineage."""


@dataclass(frozen=True)
class Jitter:
    """Adds normal noise to numbers; `amount` is its standard deviation, where that of a standardised column is 1.

    Columns that hold only 0 and 1 in a batch (categories, yes and no) stay as they are.
    """

    amount: float = 0.05

    def __post_init__(self) -> None:
        check_within("amount", self.amount, 0, 10)

    def __call__(self, batch: Batch, random: np.random.Generator) -> Batch:
        def vary(rows: Tensor) -> Tensor:
            noise = torch.from_numpy(random.standard_normal(tuple(rows.shape), dtype=np.float32)).to(rows.dtype)
            is_number = ((rows != 0) & (rows != 1)).any(dim=0)
            return rows + noise * (self.amount * is_number)

        return vary_numbers(batch, vary)


def oversample(data: Dataset, *, share: float = 1.0, seed: int = 0) -> Dataset:
    """The rows with those of rare classes repeated, until every class has `share` of the largest one's number.

    Rows are repeated whole times and, for the rest, drawn by the seed without replacement. Split first: a copy in the
    test part would be known from training, so `Dataset.split` refuses data that was oversampled. Raises InvalidInput
    without classes.
    """
    check_within("share", share, 0, 1)
    ids = data.target_ids()
    counts = np.bincount(ids, minlength=len(data.classes))
    wanted = round(share * int(counts.max(initial=0)))
    random = np.random.default_rng(seed)
    rows = [np.arange(len(data), dtype=np.int64)]
    for class_id in np.flatnonzero((counts > 0) & (counts < wanted)):
        own = np.flatnonzero(ids == class_id)
        times, rest = divmod(wanted - len(own), len(own))
        rows += [np.tile(own, times), np.sort(random.choice(own, rest, replace=False))]
    return data.taken(np.concatenate(rows), OVERSAMPLE, {"share": share, "seed": seed})
