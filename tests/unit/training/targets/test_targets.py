"""Targets of several labels or numbers a row, one-hot vectors, and figures about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

from lepton_ai.datasets import from_arrays
from lepton_ai.datasets.labels import one_hot_as_classes
from lepton_ai.errors import InvalidInput
from lepton_ai.models.data import as_dataset
from lepton_ai.models.fitting.purpose import choose_task
from lepton_ai.training.targets.figures import RSquared
from lepton_ai.training.targets.multilabel import MultiLabel
from lepton_ai.training.tasks import Classification, Regression, task_from_document

pd: Any = pytest.importorskip("pandas")  # comes with the packages of the ready data sets
X = np.zeros((4, 2))
LISTS = [["鸟", "猫"], ["猫"], [], ["狗", "鸟"]]
MARKS = np.array([[0, 1, 1], [0, 1, 0], [0, 0, 0], [1, 0, 1]])


@pytest.mark.parametrize(
    ("targets", "task", "names"),
    [
        (LISTS, MultiLabel, ("狗", "猫", "鸟")),
        (MARKS, MultiLabel, ("0", "1", "2")),
        (MARKS.astype(bool), MultiLabel, ("0", "1", "2")),
        (pd.DataFrame(MARKS, columns=["a", "b", "c"]), MultiLabel, ("a", "b", "c")),
        (np.eye(3)[[0, 2, 1, 0]], Classification, ("0", "1", "2")),
        (np.eye(3)[[0, 2, 2, 0]].tolist(), Classification, ("0", "1", "2")),
        (pd.DataFrame(np.eye(2)[[0, 1, 1, 0]], columns=["no", "yes"]), Classification, ("no", "yes")),
        ([[1], [0], [1], [0]], Classification, ("0", "1")),
    ],
)
def test_the_target_says_what_there_is_to_learn(targets: Any, task: type, names: tuple[str, ...]) -> None:
    found = choose_task(as_dataset(X, targets), None)
    assert type(found) is task
    assert isinstance(found, Classification | MultiLabel)
    assert (found.classes, found.width) == (names, len(names))


def test_several_numbers_a_row_are_a_regression_with_their_names() -> None:
    values = pd.DataFrame({"宽": [1.0, 2, 3, 4], "高": [10.0, 10, 30, 30]})
    task = choose_task(as_dataset(X, values), None)
    assert isinstance(task, Regression)
    assert (task.width, task.names, task.mean) == (2, ("宽", "高"), [2.5, 20.0])
    assert task.targets(as_dataset(X, values))["values"].shape == (4, 2)
    with pytest.raises(InvalidInput, match="The target has 1 numbers a row, the model answers 2"):
        task.targets(as_dataset(X, values["宽"]))


def test_a_single_number_is_called_like_its_column_where_that_has_a_name() -> None:
    prices = pd.Series([1.5, 2.5, 3.5, 9.5], name="价格")
    for data in (as_dataset(X, prices), as_dataset(pd.DataFrame({"面积": [1.0, 2, 3, 4], "价格": prices}), "价格")):
        task = choose_task(data, None)
        assert isinstance(task, Regression)
        assert (task.names, np.shape(task.mean)) == (("价格",), ())
        assert task_from_document(task.document()).postprocess() == task.postprocess()
        steps, _ = task.postprocess() or ([], {})
        assert steps == [{"op": "numbers", "input": "values", "names": ["价格"]}]
    unnamed = choose_task(as_dataset(X, prices.to_numpy()), None)
    assert unnamed.postprocess() is None


def test_one_wish_overrules_the_target() -> None:
    one_hot = as_dataset(X, np.eye(2)[[0, 1, 1, 0]])
    assert isinstance(choose_task(one_hot, "multilabel"), MultiLabel)
    assert isinstance(choose_task(one_hot, "regression"), Regression)


def test_labels_become_marks_and_rows_of_one_label_each_are_no_classes() -> None:
    task = MultiLabel.of(as_dataset(X, LISTS))
    assert task.targets(as_dataset(X, LISTS))["labels"].tolist() == MARKS.tolist()
    single = one_hot_as_classes(from_arrays(X[:2], np.eye(3)[[0, 1]]))
    numbered = MultiLabel(("0", "1", "2"))
    assert numbered.targets(single)["labels"].tolist() == np.eye(3)[[0, 1]].tolist()


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        ([["鱼"], [], [], []], "the label '鱼', which the model does not know. It knows 狗, 猫, 鸟"),
        ([["猫"], None, [], []], "row 1 has no labels, not even an empty list"),
        ([[0.5, 1.0, 2.0]] * 4, "row 0 is no list of labels"),
    ],
)
def test_strange_labels_are_refused(targets: Any, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        MultiLabel(("狗", "猫", "鸟")).targets(as_dataset(X, targets))


def test_labels_are_judged_one_by_one_and_row_by_row() -> None:
    task = MultiLabel(("a", "b"))
    batch = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    metrics = task.metrics()
    logits = torch.tensor([[0.9, -0.2], [0.1, 0.8]])  # all within 0 and 1 or nearly: never taken for probabilities
    from lepton_ai.datasets.batch import Batch

    task.update(metrics, {"logits": logits}, Batch({"x": batch}, {"labels": batch}))
    assert {name: float(metric.compute()) for name, metric in metrics.items()} == {
        "f1": pytest.approx((2 / 3 + 1) / 2),
        "accuracy": 0.75,
        "exact": 0.5,
    }


def test_what_was_learned_about_targets_is_saved() -> None:
    for task in (MultiLabel(("a", "b")), Regression([1.0, 2.0], [3.0, 4.0], ["x", "y"]), Regression(1.0, 2.0)):
        assert task_from_document(task.document()).document() == task.document()
    former = {"name": "classification", "classes": ["a", "b"], "label_smoothing": 0.0, "class_weights": {}}
    assert isinstance(task_from_document(former), Classification)


def test_the_share_of_the_deviation_that_is_explained_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    target = random.normal(size=(100, 2)) * [1, 50] + 1000
    values = target + random.normal(size=(100, 2))
    metric = RSquared(2)
    for part in (slice(0, 30), slice(30, 100)):
        metric.update(torch.from_numpy(values[part]), torch.from_numpy(target[part]))
    assert float(metric.compute()) == pytest.approx(r2_score(target, values))
    constant = RSquared(1)
    constant.update(torch.ones(3, 1), torch.ones(3, 1))
    assert np.isnan(float(constant.compute()))
