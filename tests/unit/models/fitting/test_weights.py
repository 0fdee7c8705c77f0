"""Rows and classes that count more than others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lepton_ai.datasets import from_rows
from lepton_ai.errors import InvalidInput
from lepton_ai.models import MLP, Autoencoder
from lepton_ai.models.fitting.weights import weigh_classes
from lepton_ai.training.losses import make_loss
from lepton_ai.training.prepared import Prepared
from lepton_ai.training.targets.weights import WEIGHT
from lepton_ai.training.tasks import Classification, Regression

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
Y = np.array(["是"] * 45 + ["否"] * 15)
ROWS = Prepared({"x": X[:4]}, {"class": np.array([0, 1, 1, 1])})
TASK = Classification(("否", "是"))


def fit(**options: Any) -> MLP:
    model = MLP((4,))
    model.fit(X, Y, epochs=1, validation=None, progress=False, **options)
    return model


def weights(wanted: Any, task: Classification = TASK) -> list[float]:
    found: list[float] = weigh_classes(ROWS, task, wanted).targets[WEIGHT].tolist()
    return found


@pytest.mark.parametrize("wanted", [{"否": 3, "是": 1}, {0: 3, 1: 1}, {0: 3}, [3, 1], np.array([3.0, 1.0]), "balanced"])
def test_classes_are_weighed_by_name_by_number_in_order_or_by_their_rows(wanted: Any) -> None:
    assert weights(wanted) == pytest.approx([2, 2 / 3, 2 / 3, 2 / 3]), "with a mean of 1"


def test_names_that_are_numbers_come_before_places() -> None:
    assert weights({1: 3, 2: 1}, Classification(("1", "2"))) == pytest.approx([2, 2 / 3, 2 / 3, 2 / 3])


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"坏": 2}, "there is no class '坏'. They are 否, 是"),
        ({2: 2}, "there is no class 2"),
        ([1, 2, 3], r"has shape \[3\] for 2 classes"),
        ({0: -1}, "must be at least 0"),
        ({0: "much"}, "does not hold numbers"),
        ({0: 0, 1: 0}, "is 0 everywhere"),
        ("auto", 'Give "balanced"'),
    ],
)
def test_weights_of_classes_that_make_no_sense_are_refused(wanted: Any, told: str) -> None:
    with pytest.raises(InvalidInput, match=f"class_weight: .*{told}"):
        weights(wanted)


def test_a_refusal_leaves_the_model_ready_for_other_data() -> None:
    model = MLP((4,))
    with pytest.raises(InvalidInput, match="class_weight: there is no class"):
        model.fit(X, Y, class_weight={"坏": 2})
    assert model.pipeline is None


def test_weights_of_classes_change_what_is_learned() -> None:
    plain = fit(seed=1).predict_proba(X)[:, 0].mean()
    assert fit(class_weight={"否": 50}, seed=1).predict_proba(X)[:, 0].mean() > plain
    assert fit(class_weight={"否": 50}, loss="focal", seed=1).predict_proba(X)[:, 0].mean() > plain


def test_only_models_of_classes_weigh_them() -> None:
    with pytest.raises(InvalidInput, match="class_weight: is for models that tell classes apart, not for regression"):
        MLP().fit(X, X[:, 0], class_weight="balanced")


def test_rows_of_weight_0_are_as_if_they_were_not_there() -> None:
    wrong = np.where(np.arange(60) % 2, Y, "是")
    model = MLP((4,))
    model.fit(X, wrong, sample_weight=np.arange(60) % 2, epochs=1, validation=None, progress=False)
    loss = model.history["loss"][0]
    assert np.isfinite(loss)
    assert fit(sample_weight=np.full(60, 7.0)).history["loss"][0] == pytest.approx(fit().history["loss"][0])


def test_a_column_of_a_data_set_may_hold_the_weights() -> None:
    rows = from_rows({"a": float(x[0]), "w": 1 + i % 3, "y": float(x[1])} for i, x in enumerate(X))
    rows = rows.with_schema(rows.schema.with_kinds(w="number").with_roles(w="weight", y="target"))
    model = MLP((4,))
    model.fit(rows, epochs=1, progress=False)
    assert tuple(model.pipeline.inputs) == ("a",) if model.pipeline else False
    with pytest.raises(InvalidInput, match="sample_weight: the data set has weights, in its column 'w'"):
        model.fit(rows, sample_weight=np.ones(60))
    with pytest.raises(InvalidInput, match="w: weighs the rows, and anomaly_detection takes all rows alike"):
        Autoencoder().fit(rows)


@pytest.mark.parametrize(
    ("given", "told"),
    [(np.ones(59), r"has shape \[59\], must be one number a row, \[60\]"), (["x"] * 60, "does not hold numbers"),
     (np.full(60, np.nan), "must be at least 0, and finite"), (np.zeros(60), "is 0 everywhere")],
)  # fmt: skip
def test_weights_of_rows_that_make_no_sense_are_refused(given: Any, told: str) -> None:
    with pytest.raises(InvalidInput, match=f"sample_weight: .*{told}"):
        fit(sample_weight=given)


def test_a_loss_of_ones_own_weighs_rows_when_it_gives_one_number_a_row() -> None:
    assert len(fit(sample_weight=np.ones(60), loss=torch.nn.CrossEntropyLoss(reduction="none")).history) == 1
    with pytest.raises(InvalidInput, match=r'loss: gives one number for all rows.*reduction="none"'):
        fit(sample_weight=np.ones(60), loss=torch.nn.CrossEntropyLoss())


def test_every_row_counts_by_its_weight() -> None:
    batch = Prepared({"x": X[:2]}, {"values": np.zeros((2, 1), np.float32), WEIGHT: np.array([2, 0], np.float32)})
    outputs = {"values": torch.tensor([[3.0], [100.0]])}
    for loss in (None, "mse"):
        found = make_loss(loss, Regression(0.0, 1.0))(outputs, batch.batch(slice(0, 2)))
        assert float(found) == pytest.approx(9.0)


def test_weights_of_rows_may_stand_in_a_column() -> None:
    once, twice = np.arange(60.0), np.arange(60.0)[:, np.newaxis]
    np.testing.assert_array_equal(fit(sample_weight=once).predict_proba(X), fit(sample_weight=twice).predict_proba(X))
    with pytest.raises(InvalidInput, match=r"sample_weight: has shape \[60, 2\]"):
        fit(sample_weight=np.ones((60, 2)))
