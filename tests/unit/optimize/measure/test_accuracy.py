"""What is lost, told by the kind of answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.optimize.measure.accuracy import Judge
from lepton_ai.package import Package
from lepton_ai.tensors import Array
from tests.sample_packages import onnx_package

STEPS = [{"op": "softmax", "input": "y"}, {"op": "classify", "labels": "labels.txt", "top_k": 2}]


@pytest.fixture
def classifier(tmp_path: Path) -> Package:
    return onnx_package(tmp_path / "p", files={"labels.txt": b"a\nb\nc\nd\n"}, postprocess=STEPS)


@pytest.fixture
def numbers(tmp_path: Path) -> Package:
    return onnx_package(tmp_path / "p")


def logits(*classes: int) -> dict[str, Array]:
    return {"y": np.eye(4, dtype=np.float32)[list(classes)]}


def test_accuracy_is_lost_where_right_answers_become_wrong(classifier: Package) -> None:
    found = Judge(classifier, ["a", "b", "c", "d"]).compare(logits(0, 1, 2, 0), logits(0, 1, 3, 3))
    assert (found.metric, found.original, found.value) == ("accuracy", 0.75, 0.75)
    assert found.loss.value == 0.0 and found.loss.high > 0.2  # one lost and one won, of four
    assert found.agreement.value == 0.5


def test_without_right_answers_agreement_counts(classifier: Package) -> None:
    found = Judge(classifier, None).compare(logits(0, 1, 2, 0), logits(0, 1, 2, 3))
    assert (found.metric, found.value, found.loss.value) == ("agreement", 0.75, 0.25)
    assert found.loss.low < 0.25 < found.loss.high and not found.is_proved(0.25)


def test_numbers_lose_what_they_no_longer_explain(numbers: Package) -> None:
    generator = np.random.default_rng(0)
    right = generator.normal(size=(200, 4))
    before, after = right + 0.1 * generator.normal(size=(200, 4)), right + 0.5 * generator.normal(size=(200, 4))
    found = Judge(numbers, right).compare({"y": before}, {"y": after})
    assert found.metric == "r2" and found.original == pytest.approx(0.99, abs=0.01)
    assert found.loss.low < found.loss.value < found.loss.high and found.loss.value == pytest.approx(0.24, abs=0.05)
    assert found.largest_change == np.abs(before - after).max()


def test_numbers_without_right_ones_are_held_against_the_original(numbers: Package) -> None:
    values = np.random.default_rng(0).normal(size=(50, 4))
    found = Judge(numbers, None).compare({"y": values}, {"y": values})
    assert (found.metric, found.value, found.loss.value) == ("closeness", 1.0, 0.0)


def test_classes_by_number_are_taken_for_the_greatest_output(numbers: Package) -> None:
    found = Judge(numbers, np.array([0, 1, 2])).compare(logits(0, 1, 2), logits(0, 1, 0))
    assert found.metric == "accuracy" and found.original == 1.0 and found.value == pytest.approx(2 / 3)


def test_right_answers_of_another_kind_are_refused(numbers: Package) -> None:
    with pytest.raises(InvalidInput, match="no numbers"):
        Judge(numbers, ["a", "b"]).compare({"y": np.zeros((2, 4))}, {"y": np.zeros((2, 4))})
    with pytest.raises(InvalidInput, match=r"has \[3\] numbers a row .* answers \[4\]"):
        Judge(numbers, np.zeros((2, 3))).compare({"y": np.zeros((2, 4))}, {"y": np.zeros((2, 4))})


def test_classes_of_other_names_are_refused(classifier: Package) -> None:
    with pytest.raises(InvalidInput, match="says 'cat' of its first row; the original answers 'a'"):
        Judge(classifier, ["cat", "dog"]).compare(logits(0, 1), logits(0, 1))


def test_several_labels_are_right_together(tmp_path: Path) -> None:
    steps = [{"op": "sigmoid", "input": "y"}, {"op": "multilabel", "labels": "labels.txt"}]
    package = onnx_package(tmp_path / "p", files={"labels.txt": b"a\nb\nc\nd\n"}, postprocess=steps)
    before = {"y": np.array([[9, 9, -9, -9], [-9, -9, -9, 9]], dtype=np.float32)}
    after = {"y": np.array([[9, -9, -9, -9], [-9, -9, -9, 9]], dtype=np.float32)}
    found = Judge(package, ["a\x1fb", "d"]).compare(before, after)
    assert (found.original, found.value) == (1.0, 0.5)
