"""Jitter of numbers, and oversampling of rare classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lepton_ai.datasets import from_arrays
from lepton_ai.datasets.augment import Jitter, oversample
from lepton_ai.datasets.batch import Batch
from lepton_ai.errors import InvalidInput


def test_numbers_vary_and_categories_do_not() -> None:
    rows = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    rows[:, 2] = (rows[:, 2] > 0).float()
    varied = Jitter(0.1)(Batch({"features": rows}, {}), np.random.default_rng(0)).inputs["features"]
    assert torch.equal(varied[:, 2], rows[:, 2])
    assert float((varied - rows)[:, :2].std()) == pytest.approx(0.1, rel=0.1)


def test_rare_classes_come_as_often_as_the_largest() -> None:
    data = from_arrays(np.arange(17.0), ["常见"] * 10 + ["少"] * 4 + ["rare"] * 3)
    more = oversample(data, seed=1)
    counts = dict(zip(more.classes, np.bincount(more.target_ids()).tolist(), strict=True))
    assert counts == {"常见": 10, "少": 10, "rare": 10}
    assert [row["x"] for row in more[:17].rows()] == list(np.arange(17.0))
    assert set(np.bincount([int(str(row["x"])[:-2]) for row in more.rows()])[10:].tolist()) <= {2, 3, 4}
    assert more.digest == oversample(data, seed=1).digest
    half = oversample(data, share=0.4)
    assert sorted(np.bincount(half.target_ids()).tolist()) == [4, 4, 10]


def test_copies_never_come_into_a_test_part() -> None:
    data = oversample(from_arrays(np.arange(8.0), ["a"] * 6 + ["b"] * 2))
    with pytest.raises(InvalidInput, match="Split first"):
        data.split(0.5)
