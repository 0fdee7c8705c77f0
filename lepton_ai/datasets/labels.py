"""The target column: its values, its classes and the number of each row's class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lepton_ai.datasets import cells
from lepton_ai.datasets.inference import categories_of
from lepton_ai.datasets.schema import Column, Kind, Schema
from lepton_ai.datasets.times import Floats, seconds_since_1970
from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline.values import one_form

if TYPE_CHECKING:
    from lepton_ai.datasets.dataset import Dataset

_MAX_CLASSES = 1_000_000
_SET_TARGET = 'Name it: data.with_schema(data.schema.with_roles(COLUMN="target")).'
_DROP_MISSING = 'Leave these rows out: data.clean(missing="drop_without_target").'


def target_column(schema: Schema) -> Column:
    """The target. Raises InvalidInput when there is none."""
    if schema.target is None:
        raise InvalidInput("The data set has no target.", reason="NO_TARGET", fix=_SET_TARGET)
    return schema.target


def with_target_categories(schema: Schema, table: pa.Table) -> Schema:
    """The schema with the target's categories counted, so that all parts of a split agree on them."""
    target = schema.target
    if target is None or target.kind != "category" or target.categories:
        return schema
    return schema.with_column(replace(target, categories=kept_categories("category", table.column(target.name))))


def kept_categories(kind: Kind, data: pa.ChunkedArray) -> tuple[str, ...]:
    """The categories of a column; none for other kinds."""
    return categories_of(data, limit=_MAX_CLASSES) if kind == "category" else ()


def classes(schema: Schema) -> tuple[str, ...]:
    """See `Dataset.classes`."""
    target = target_column(schema)
    if target.kind != "category":
        raise InvalidInput.of_field(
            target.name,
            f"the target is a {target.kind}, which has no classes",
            fix=f'If its values are classes: schema.with_kinds(**{{{target.name!r}: "category"}}), then with_schema.',
        )
    return target.categories


def target_values(data: Dataset) -> np.ndarray[Any, Any] | list[Any]:
    """See `Dataset.target_values`."""
    target = target_column(data.schema)
    arrays = [batch.column(0) for batch in data.batches([target.name])]
    if not arrays:
        return np.empty(0) if target.kind in ("number", "time") else []
    if target.kind == "time":
        return np.concatenate([seconds_since_1970(array, target.date_order) for array in arrays])
    if target.kind == "number":
        return np.concatenate([_numbers(array, target) for array in arrays])
    if target.kind == "tensor" and cells.is_fixed_tensor(arrays[0].type):
        return np.concatenate([cells.fixed_tensors(array) for array in arrays])
    if target.kind in ("image", "sound"):
        return [row[target.name] for row in data.rows([target.name])]
    return [value for array in arrays for value in cells.values(array, target)]


def distinct_targets(data: Dataset) -> tuple[list[Any], np.ndarray[Any, np.dtype[np.int64]]]:
    """See `Dataset.distinct_targets`."""
    target = target_column(data.schema)
    if target.kind not in ("category", "text"):
        values = target_values(data)
        if isinstance(values, np.ndarray) and values.ndim == 1:
            distinct, places = np.unique(values, return_inverse=True)
            return distinct.tolist(), places.astype(np.int64)
        return list(values), np.arange(len(values))
    found: dict[Any, int] = {}
    parts = [np.empty(0, dtype=np.int64)]
    for values, places in _encoded(data, target):
        ids = [found.setdefault(value, len(found)) for value in cells.values(values, target)]
        parts.append(np.append(np.array(ids, dtype=np.int64), found.setdefault(None, len(found)))[places])
    return list(found), np.concatenate(parts)


def target_ids(data: Dataset) -> np.ndarray[Any, np.dtype[np.int64]]:
    """See `Dataset.target_ids`."""
    target = target_column(data.schema)
    ids_by_name = {name: index for index, name in enumerate(classes(data.schema))}
    parts = [np.empty(0, dtype=np.int64)]
    for values, places in _encoded(data, target):
        ids = np.full(len(values) + 1, -1, dtype=np.int64)
        for place in np.unique(places[places >= 0]).tolist():  # pandas keeps categories that no row has
            ids[place] = _id(values[place].as_py(), ids_by_name, target)
        parts.append(ids[places])
    found = np.concatenate(parts)
    if missing := int((found < 0).sum()):
        first = int(np.flatnonzero(found < 0)[0])
        raise InvalidInput.of_field(
            target.name,
            f"{missing} of {len(found)} rows have no target, the first is row {first}",
            fix=_DROP_MISSING,
            reason="MISSING_TARGET",
        )
    return found


def _encoded(data: Dataset, target: Column) -> Iterator[tuple[pa.Array, np.ndarray[Any, np.dtype[np.int64]]]]:
    """Batch by batch the values that there are, and for every row the place of its own; −1 for a missing one."""
    for batch in data.batches([target.name], batch_rows=65_536):
        encoded = batch.column(0)
        encoded = encoded if isinstance(encoded, pa.DictionaryArray) else encoded.dictionary_encode()
        yield encoded.dictionary, encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def _id(value: object, ids_by_name: dict[str, int], target: Column) -> int:
    name = cells.category_text(value)
    if name is None:
        return -1
    if name not in ids_by_name:
        raise InvalidInput.of_field(
            target.name, f"{name[:64]!r} is not one of its {len(ids_by_name)} categories", reason="UNKNOWN_CATEGORY"
        )
    return ids_by_name[name]


def _numbers(array: pa.Array, target: Column) -> Floats:
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        return np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    numbers = cells.values(array, target)
    return np.array([np.nan if number is None else number for number in numbers], dtype=np.float64)


@dataclass(frozen=True)
class LabelRows:
    """Which labels every row has."""

    names: tuple[str, ...]
    present: np.ndarray[Any, np.dtype[np.bool_]]
    """[rows, labels]"""


def label_rows(data: Dataset) -> LabelRows:
    """The labels of the rows of a target that has several: numbers 0 and 1, one a label, or lists of labels.

    A category is one label a row. Raises InvalidInput for other targets, and for rows without a list.
    """
    target = target_column(data.schema)
    if target.kind == "category":
        ids = target_ids(data)
        return LabelRows(target.categories, ids[:, np.newaxis] == np.arange(len(target.categories)))
    rows = target_values(data)
    missing = next((index for index, row in enumerate(rows) if row is None), None)
    if missing is not None:
        raise InvalidInput.of_field(target.name, f"row {missing} has no labels, not even an empty list")
    if target.kind == "tensor" and (marks := _marks(rows)) is not None:
        return LabelRows(target.categories or _numbered(marks.shape[1]), marks)
    lists = [_names_in(row, target, index) for index, row in enumerate(rows)]
    names = tuple(sorted({name for row in lists for name in row}))
    return LabelRows(names, np.array([[name in row for name in names] for row in lists], dtype=np.bool_))


def one_hot_as_classes(data: Dataset) -> Dataset:
    """The rows with a target of one-hot vectors, 1 for the row's class and 0 for all others, as a category.

    Classes are named as the columns that the vectors came from, or numbered. Any other target stays as it is.
    """
    target = data.schema.target
    if target is None or target.kind != "tensor":
        return data
    marks = _marks(target_values(data))
    if marks is None or not len(marks) or marks.shape[1] < 2 or (marks.sum(axis=1) != 1).any():
        return data
    names = target.categories or _numbered(marks.shape[1])
    classes = data.with_column(target.name, np.array(names)[marks.argmax(axis=1)], kind="category")
    return classes.with_schema(
        classes.schema.with_column(replace(target, kind="category", categories=names, note="one-hot"))
    )


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def _marks(rows: Sequence[Any] | np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    """Rows of as many numbers each, all of them 0 or 1, as truth values; None for anything else."""
    shapes = {np.shape(row) for row in rows} if isinstance(rows, list) else {np.shape(rows)[1:]}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        return None
    values = np.asarray(rows)
    if values.dtype.kind not in "biuf" or not ((values == 0) | (values == 1)).all():
        return None
    return values.astype(np.bool_)


def _names_in(row: Any, target: Column, index: int) -> set[str]:
    names = list(row) if np.ndim(row) == 1 else [None]
    if not all(isinstance(name, str) for name in names):
        raise InvalidInput.of_field(
            target.name, f"row {index} is no list of labels", fix='Give lists such as ["a", "b"], or 0 and 1 a label.'
        )
    return {one_form(str(name)) for name in names}
