"""The right answers of a data set, in the words in which a package answers."""

from __future__ import annotations

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


def _names(data: Dataset) -> Array:
    from lepton_ai.datasets.labels import one_hot_as_classes
    from lepton_ai.training.tasks import class_name

    return np.array([class_name(value) or "" for value in one_hot_as_classes(data).target_values()])


def _label_sets(data: Dataset) -> Array:
    from lepton_ai.datasets.labels import label_rows

    rows = label_rows(data)
    names = np.array(rows.names)
    return np.array([SEPARATOR.join(sorted(names[present])) for present in rows.present])
