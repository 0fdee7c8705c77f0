"""The right answers of a data set, in the words in which a package answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lepton_ai.package import Package
from lepton_ai.tensors import Array

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset

SEPARATOR = "\x1f"
"""Between the names of a row that has several labels."""
_ONE_LABEL, _SEVERAL_LABELS, _TEXTS = ("classify", "argmax"), ("multilabel",), ("decode_ctc", "join_tokens")


def right_answers(package: Package, data: Dataset) -> Array | None:
    """Names or texts for packages that answer such, numbers for others, one a row; None where nobody knows any.

    Raises InvalidInput for targets that cannot be read as labels.
    """
    if data.schema.target is None:
        return None
    steps = package.postprocess_document()
    last = str(steps[-1]["op"]) if steps else ""
    if last in _ONE_LABEL:
        return _names(data)
    if last in _SEVERAL_LABELS:
        return _label_sets(data)
    values = data.target_values()
    if last in _TEXTS:
        return np.array([str(value) for value in values])
    numbers = np.asarray(values) if isinstance(values, np.ndarray) else None
    return numbers if numbers is not None and numbers.dtype.kind in "biuf" else None


def column_of_answers(package: Package, data: Dataset, inputs: Sequence[str]) -> str | None:
    """The only column of a table, beside its inputs, in which every value is a label of the package.

    None where there is none, or several.
    """
    labels = _labels(package)
    if not labels:
        return None
    others = [column.name for column in data.schema if column.name not in inputs]
    found = [name for name in others if _all_are_labels(data.table.column(name).unique().to_pylist(), labels)]
    return found[0] if len(found) == 1 else None


def _all_are_labels(values: Sequence[object], labels: frozenset[str]) -> bool:
    from lepton_ai.training.tasks import class_name

    return bool(values) and all(class_name(value) in labels for value in values)


def _labels(package: Package) -> frozenset[str]:
    from lepton_ai.postprocessing.labels import read_class_names

    steps = package.postprocess_document() or [{}]
    named = steps[-1].get("labels")
    if steps[-1].get("op") not in _ONE_LABEL or not named:
        return frozenset()
    return frozenset(read_class_names(package.path(str(named)).read_bytes()))


def _names(data: Dataset) -> Array:
    from lepton_ai.datasets.labels import one_hot_as_classes
    from lepton_ai.training.tasks import class_name

    return np.array([class_name(value) or "" for value in one_hot_as_classes(data).target_values()])


def _label_sets(data: Dataset) -> Array:
    from lepton_ai.datasets.labels import label_rows

    rows = label_rows(data)
    names = np.array(rows.names)
    return np.array([SEPARATOR.join(sorted(names[present])) for present in rows.present])
