"""From which score on labels count: given by name, number or in order, or chosen by the rows put aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

import lepton_ai as la
from lepton_ai.errors import InvalidInput
from lepton_ai.models import MLP
from lepton_ai.models.data import as_dataset
from lepton_ai.models.fitting.thresholds import best_threshold
from lepton_ai.postprocessing import Postprocess
from lepton_ai.training.targets.multilabel import MultiLabel
from tests.unit.models.served import assert_served_alike

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(300, 4)).astype(np.float32)
PRESENT = X[:, :3] + RANDOM.normal(size=(300, 3)) > [0.0, 0.8, 2.8]  # the last one is rare
LABELS = [[name for name, there in zip(("狗", "猫", "鱼"), row, strict=True) if there] for row in PRESENT]


def fit(targets: Any = LABELS, **options: Any) -> MLP:
    model = MLP((8,))
    model.fit(X, targets, epochs=3, progress=False, **{"validation": 0.5, **options})
    return model


def thresholds(model: MLP) -> dict[str, float]:
    assert isinstance(model.task, MultiLabel)
    return model.task.thresholds


@pytest.mark.parametrize("digits", [1, 2, 8])
def test_the_best_threshold_has_the_best_f1_that_there_is(digits: int) -> None:
    present = RANDOM.random(200) < 0.3
    scores = np.clip(0.3 * present + RANDOM.random(200) * 0.6, 0, 1).round(digits).astype(np.float32)
    chosen = f1_score(present, scores >= best_threshold(scores, present))
    assert chosen == pytest.approx(max(f1_score(present, scores >= limit) for limit in np.unique(scores)))


def test_of_equally_good_thresholds_the_one_nearest_to_one_half_is_taken() -> None:
    present = np.arange(40) < 20
    assert best_threshold(np.where(present, 0.9, 0.3), present) == pytest.approx(0.6)


@pytest.mark.parametrize("there", [0, 9, 391, 400])
def test_few_rows_choose_no_threshold(there: int) -> None:
    assert best_threshold(np.full(400, 0.9), np.arange(400) < there) == 0.5


def test_validation_chooses_thresholds_which_are_kept_and_served(tmp_path: Path) -> None:
    model = fit(thresholds="validation")
    chosen = thresholds(model)
    assert chosen["鱼"] == 0.5, "there are too few"
    assert all(0.0 < chosen[name] < 1.0 and chosen[name] != 0.5 for name in "狗猫")
    assert thresholds(la.load(model.save(tmp_path / "labels.pth"))) == chosen
    assert_served_alike(model, as_dataset(X[:8]), tmp_path)
    steps = model.package(tmp_path / "labels", name="labels").postprocess_document() or []
    assert steps[-1]["thresholds"] == {name: chosen[name] for name in "狗猫"}


def test_evaluation_and_answers_go_by_the_same_thresholds() -> None:
    model = fit(thresholds={"狗": 0.7, "鱼": 0.02})
    said = np.array([[name in {label.name for label in each.labels} for name in "狗猫鱼"] for each in model.predict(X)])
    scores = model.predict_proba(X)
    np.testing.assert_array_equal(said, scores >= [0.7, 0.5, 0.02])
    figures = model.evaluate(X, LABELS)
    assert figures["f1"] == pytest.approx(f1_score(PRESENT, said, average="macro"), abs=1e-6)
    assert figures["exact"] == pytest.approx((said == PRESENT).all(axis=1).mean())


@pytest.mark.parametrize(
    "wanted", [{"狗": 0.3, "猫": 0.3, "鱼": 0.3}, {0: 0.3, 1: 0.3, 2: 0.3}, [0.3] * 3, 0.3, np.float32(0.3)]
)
def test_thresholds_are_given_by_name_by_number_in_order_or_once(wanted: Any) -> None:
    assert thresholds(fit(thresholds=wanted)) == pytest.approx(dict.fromkeys("狗猫鱼", 0.3))


def test_a_later_fit_keeps_thresholds_unless_it_says_otherwise() -> None:
    model = fit(thresholds=0.3)
    model.fit(X, LABELS, epochs=1, progress=False)
    assert set(thresholds(model).values()) == {0.3}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"thresholds": {"马": 0.3}}, "there is no class '马'. They are 狗, 猫, 鱼"),
        ({"thresholds": [0.3, 0.4]}, r"has shape \[2\] for 3 classes"),
        ({"thresholds": 1.5}, "holds 1.5, must be from 0 to 1"),
        ({"thresholds": "best"}, "is 'best'. Give numbers, or \"validation\""),
        ({"thresholds": "validation", "validation": None}, "no rows are put aside to judge by"),
        ({"thresholds": 0.3, "targets": X[:, 0] > 0}, "is for models of several labels a row, not for classification"),
    ],
)
def test_thresholds_that_cannot_be_set_are_refused_before_training(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=f"thresholds: .*{told}"):
        fit(**options)


def test_a_model_s_description_names_its_thresholds(tmp_path: Path) -> None:
    package = fit(thresholds={"狗": 0.25}).package(tmp_path / "labels", name="labels")
    post = Postprocess.load(package.postprocess_document() or [], package.postprocess_files())
    assert post.describe() == "all of 3 classes with a score from 0.5 (狗 0.25)"


def test_choosing_thresholds_leaves_weights_alone() -> None:
    plain, chosen = fit(seed=1), fit(seed=1, thresholds="validation")
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, chosen.state_dict()[name])
