"""What an MLP sees of numbers, and how it is judged with two classes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from lepton_ai.datasets import from_arrays
from lepton_ai.errors import InvalidInput
from lepton_ai.models.mlp import MLP, NumberRamps
from lepton_ai.training.tasks import AreaUnderCurve, Classification, Regression


def test_numbers_are_followed_by_how_much_of_every_range_they_have_passed() -> None:
    ramps = NumberRamps(1)
    seen = ramps(torch.tensor([[0.25, 7.0], [-9.0, 7.0]]))
    assert seen.shape == (2, 2 + ramps.added)
    assert seen[0].tolist() == [0.25, 7.0, 1, 1, 1, 1, 1, 0.5, 0, 0, 0, 0]
    assert seen[1, 2:].tolist() == [0.0] * ramps.added


def test_the_area_under_the_curve_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    logits, classes = random.normal(size=(200, 2)).astype(np.float32), random.integers(0, 2, 200)
    area = AreaUnderCurve()
    for part in (slice(0, 90), slice(90, 200)):
        area.update(torch.from_numpy(logits[part]), torch.from_numpy(classes[part]))
    assert float(area.compute()) == pytest.approx(roc_auc_score(classes, logits[:, 1] - logits[:, 0]), abs=1e-6)


def test_arrays_and_targets_that_differ_in_their_last_digits() -> None:
    times = 1.7e9 + np.arange(64.0)
    data = from_arrays({"x": np.stack([times, times % 7], axis=1), "y": times % 5}, target="y")
    data = data.with_schema(data.schema.with_kinds(y="number"))
    features = MLP([4]).prepare(data).run({"x": np.array([1.7e9 + 3, 1.0])}).tensors["features"]
    assert features[0] == pytest.approx((3 - 31.5) / np.arange(64.0).std(), abs=1e-5)
    late = data.with_column("y", times, kind="number")
    with pytest.raises(InvalidInput, match="FP32 cannot hold"):
        Regression.of(late)


def test_with_rows_of_one_class_only_there_is_no_area() -> None:
    area = AreaUnderCurve()
    area.update(torch.zeros(3, 2), torch.ones(3, dtype=torch.int64))
    assert math.isnan(float(area.compute()))


def test_the_area_is_given_for_two_classes_only() -> None:
    assert "auc" in Classification(("a", "b")).metrics()
    assert "auc" not in Classification(("a", "b", "c")).metrics()
