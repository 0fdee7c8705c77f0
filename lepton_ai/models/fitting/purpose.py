"""What there is to learn from a data set's target: classes, several labels, numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lepton_ai.datasets.labels import label_rows, one_hot_as_classes
from lepton_ai.errors import InvalidInput
from lepton_ai.training.targets.multilabel import MultiLabel
from lepton_ai.training.tasks import Classification, Regression

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset

TaskName = Literal["classification", "multilabel", "regression"]
Purpose = Classification | MultiLabel | Regression


def choose_task(data: Dataset, wanted: TaskName | None, *, classes: int | None = None) -> Purpose:
    """The task that is wanted, else the one that the target suggests; `classes` is how many there must be.

    Numbers suggest regression, also several a row; 0 and 1 with one 1 a row classes (one-hot), with any number of them
    labels, as lists of labels do; the rest classes. Raises InvalidInput for targets that cannot be learned from.
    """
    chosen = wanted or _suggested(data)
    if chosen == "regression":
        return Regression.of(data)
    if chosen == "multilabel":
        return MultiLabel.of(data)
    return classification(data, classes)


def classification(data: Dataset, classes: int | None) -> Classification:
    """The task of telling the classes of a data set apart. Raises InvalidInput when there are not as many as given."""
    task = Classification(tuple(one_hot_as_classes(data).classes))
    if classes is not None and len(task.classes) != classes:
        raise InvalidInput.of_field(
            "num_classes",
            f"is {classes}, the data set has {len(task.classes)} classes",
            fix=f"They are {', '.join(task.classes[:20])}.",
        )
    return task


def classes_or_labels(data: Dataset, *, instead: str) -> Classification | MultiLabel:
    """The task of a model that answers no numbers. Raises InvalidInput, which for numbers names what does `instead`."""
    suggested = _suggested(data)
    if suggested == "regression":
        assert data.schema.target is not None  # noqa: S101 - it suggests
        raise InvalidInput.of_field(
            data.schema.target.name,
            "holds numbers, and this model tells classes apart",
            reason="NOT_CLASSES",
            fix=f'{instead} If they are classes: data.with_schema(data.schema.with_kinds(NAME="category")).',
        )
    return MultiLabel.of(data) if suggested == "multilabel" else classification(data, None)


def _suggested(data: Dataset) -> TaskName:
    target = data.schema.target
    if target is None or target.kind not in ("number", "tensor"):
        return "classification"
    if target.kind == "number":
        return "regression"
    if one_hot_as_classes(data) is not data:
        return "classification"
    try:
        label_rows(data)
    except InvalidInput:
        return "regression"
    return "multilabel"
