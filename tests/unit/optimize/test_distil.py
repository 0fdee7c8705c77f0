"""A small model learns from a large one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lepton_ai as la
from lepton_ai.errors import FailedPrecondition, InvalidInput, Unsupported
from lepton_ai.models import CNN, MLP, Autoencoder
from lepton_ai.models.data import as_dataset
from lepton_ai.optimize.measure.cpu import this_cpu
from lepton_ai.optimize.methods import Workpiece
from lepton_ai.optimize.rows import Rows
from lepton_ai.optimize.student import teach_student
from lepton_ai.training.tasks import Classification
from tests.unit.optimize.prune.test_pruning import weights
from tests.unit.optimize.small import SIDE, packaged, stripes, trained

QUIET: dict[str, Any] = {"progress": False, "doctor": False, "epochs": 4}


def small() -> CNN:
    return CNN((SIDE, SIDE, 1), num_classes=3, channels=(8,), dropout=0.0)


def test_a_teacher_outweighs_wrong_labels() -> None:
    rows = stripes()
    names = np.random.default_rng(3).permutation(rows.target_values())
    wrong = rows.with_column("y", names.tolist())
    taught, alone = small(), small()
    la.distil(trained(), taught, wrong, weight=1.0, **{**QUIET, "epochs": 8})
    alone.fit(wrong, **{**QUIET, "epochs": 8})
    scores = [model.evaluate(stripes(seed=2)).metrics["accuracy"] for model in (taught, alone)]
    assert scores[0] > 0.9 and scores[1] < scores[0] - 0.2


def test_afterwards_the_student_is_a_model_like_others(tmp_path: Path) -> None:
    student = small()
    history = la.distil(trained(), student, stripes(), **QUIET)
    assert len(history) == 4 and type(student.task) is Classification
    assert student.package(tmp_path / "p", name="small").description.golden
    again = CNN.load(student.save(tmp_path / "s.pth"))
    assert np.array_equal(again.predict_proba(stripes()[:3]), student.predict_proba(stripes()[:3]))


def test_a_package_may_teach(tmp_path: Path) -> None:
    student = small()
    la.distil(packaged(tmp_path / "teacher"), student, stripes(), weight=1.0, **QUIET)
    agreement = student.predict_proba(stripes(seed=2)).argmax(axis=1) == trained().predict_proba(
        stripes(seed=2)
    ).argmax(axis=1)
    assert agreement.mean() > 0.9


def test_numbers_are_distilled_too() -> None:
    inputs = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    rows = as_dataset(inputs, inputs.sum(axis=1))
    teacher, student = MLP(hidden=(32,)), MLP(hidden=(8,))
    teacher.fit(rows, epochs=15, progress=False, doctor=False)
    la.distil(teacher, student, rows, epochs=20, progress=False, doctor=False)
    assert student.score(rows) > 0.5


def test_the_search_teaches_a_narrower_network() -> None:
    piece = Workpiece(Rows({}), this_cpu(), 0.005, stripes())
    student = teach_student(trained(), piece, {"factor": 0.5, "epochs": 5})
    assert student.config["channels"] == [8, 16] and weights(student) < 0.35 * weights(trained())
    assert student.evaluate(stripes(seed=1)).metrics["accuracy"] >= 0.95


def test_training_ends_when_the_time_of_the_search_is_over() -> None:
    piece = Workpiece(Rows({}), this_cpu(), 0.005, stripes(), end_s=0.0)
    student = teach_student(trained(), piece, {"factor": 0.5, "epochs": 50})
    assert len(student.history) == 1 and "time" in student.history.ended


def test_teachers_that_cannot_teach_are_refused() -> None:
    other = as_dataset(np.zeros((4, SIDE, SIDE), dtype=np.uint8), ["a", "b", "a", "b"])
    with pytest.raises(InvalidInput, match="other classes"):
        la.distil(trained(), CNN((SIDE, SIDE, 1)), other, **QUIET)
    with pytest.raises(FailedPrecondition, match="not been trained"):
        la.distil(small(), small(), stripes(), **QUIET)


def test_what_has_no_answers_to_imitate_is_refused() -> None:
    rows = as_dataset(np.zeros((4, 3), dtype=np.float32), None)
    with pytest.raises(Unsupported, match="anomaly_detection"):
        la.distil(trained(), Autoencoder(), rows, **QUIET)


@pytest.mark.parametrize(("name", "value"), [("weight", 1.5), ("temperature", 0.0)])
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=name):
        la.distil(trained(), small(), stripes(), **{name: value})
