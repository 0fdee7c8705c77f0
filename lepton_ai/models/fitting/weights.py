"""`class_weight` and `sample_weight`: how much rows count in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lepton_ai.datasets.times import Floats
from lepton_ai.errors import InvalidInput
from lepton_ai.tensors import Array
from lepton_ai.training.prepared import Prepared
from lepton_ai.training.targets.weights import WEIGHT, checked_weights
from lepton_ai.training.tasks import Classification, Task, class_name

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset

ClassWeight = str | Mapping[Any, float] | Sequence[float]
"""Weights by the names or numbers of classes, or one a class in their order; "balanced": rare classes count more."""

_COLUMN = "sample_weight"


def with_sample_weight(data: Dataset, weights: Any) -> Dataset:
    """The rows with their weights as a column. Raises InvalidInput unless there is one number a row."""
    former = data.schema.with_role("weight")
    if former is not None:
        raise InvalidInput.of_field(
            _COLUMN, f"the data set has weights, in its column {former.name!r}", fix="Drop one."
        )
    values = _numbers(_COLUMN, weights)
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.shape != (len(data),):
        raise InvalidInput.of_field(_COLUMN, f"has shape {list(values.shape)}, must be one number a row, [{len(data)}]")
    checked_weights(_COLUMN, values)
    weighed = data.with_column(_COLUMN, values, kind="number")
    return weighed.with_schema(weighed.schema.with_column(replace(weighed.schema[_COLUMN], role="weight")))


def weigh_classes(rows: Prepared, task: Task, wanted: ClassWeight) -> Prepared:
    """The rows with weights by their classes, beside those that they have. Raises InvalidInput for strange weights."""
    if not isinstance(task, Classification):
        raise InvalidInput.of_field(
            "class_weight", f"is for models that tell classes apart, not for {task.name}", fix="Leave it out."
        )
    ids = rows.targets["class"]
    if isinstance(wanted, str) and wanted != "balanced":
        raise InvalidInput.of_field("class_weight", f"is {wanted!r}", fix='Give "balanced", or a weight a class.')
    if isinstance(wanted, str):
        weights = _balanced(ids, len(task.classes))
    else:
        weights = by_class("class_weight", task.classes, wanted, otherwise=1.0)
    of_rows = weights[ids] * np.asarray(rows.targets.get(WEIGHT, 1), dtype=np.float64)
    return replace(rows, targets={**rows.targets, WEIGHT: checked_weights("class_weight", of_rows)})


def _balanced(ids: Array, classes: int) -> Floats:
    """All classes count alike, however many rows they have."""
    counts = np.bincount(ids, minlength=classes)
    weights: Floats = len(ids) / (classes * np.maximum(1, counts))
    return weights


def by_class(
    field: str, classes: Sequence[str], wanted: Mapping[Any, float] | Sequence[float], *, otherwise: float
) -> Floats:
    """A number a class, of those given in order, or by names or places of classes, which need not be all.

    Raises InvalidInput for strange classes, and for as many numbers as there are not classes.
    """
    given = _numbers(field, list(wanted.values()) if isinstance(wanted, Mapping) else wanted)
    if not isinstance(wanted, Mapping):
        if given.shape != (len(classes),):
            raise InvalidInput.of_field(
                field, f"has shape {list(given.shape)} for {len(classes)} classes", fix=_listed(classes)
            )
        return given
    numbers = np.full(len(classes), otherwise)
    numbers[_numbers_of(field, classes, list(wanted))] = given
    return numbers


def _numbers(name: str, given: Any) -> Floats:
    try:
        numbers: Floats = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput.of_field(name, "does not hold numbers") from None
    return numbers


def _numbers_of(field: str, classes: Sequence[str], keys: Sequence[Any]) -> list[int]:
    """The classes that keys name, all by their names, or all by their numbers."""
    names = {name: number for number, name in enumerate(classes)}
    if all(class_name(key) in names for key in keys):
        return [names[str(class_name(key))] for key in keys]
    strange = next(key for key in keys if class_name(key) not in names)
    numbers = [key for key in keys if isinstance(key, int | np.integer) and 0 <= key < len(classes)]
    if len(numbers) == len(keys):
        return [int(number) for number in numbers]
    raise InvalidInput.of_field(field, f"there is no class {strange!r}", fix=_listed(classes))


def _listed(classes: Sequence[str]) -> str:
    return f"They are {', '.join(classes[:20])}, in this order."
