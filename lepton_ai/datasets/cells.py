"""Cells of Arrow columns as raw values: what a pipeline takes. Paths of images and sounds are read here."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lepton_ai.datasets.schema import Column
from lepton_ai.errors import FailedPrecondition, NotFound, ResourceExhausted
from lepton_ai.file import FILE_KINDS
from lepton_ai.pipeline.reading import Reading
from lepton_ai.pipeline.values import RawValue, one_form
from lepton_ai.plain import decimal_number
from lepton_ai.tensors import Array

_UNDECIDED = Reading(thousands=",")
MAX_FILE_BYTES = 256 * 1024 * 1024


def is_text(kind: pa.DataType) -> bool:
    """Whether Arrow stores texts this way."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def holds_texts(kind: pa.DataType) -> bool:
    """Whether the values are texts, each stored or by its place among the different ones."""
    return is_text(kind.value_type) if pa.types.is_dictionary(kind) else is_text(kind)


def is_binary(kind: pa.DataType) -> bool:
    """Whether Arrow stores bytes this way."""
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def is_list(kind: pa.DataType) -> bool:
    """Whether Arrow stores a sequence in every cell."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def is_fixed_tensor(kind: pa.DataType) -> bool:
    """Whether every cell is an array of the same shape and dtype."""
    return isinstance(kind, pa.FixedShapeTensorType)


def holds_paths(column: Column, kind: pa.DataType) -> bool:
    """Whether the column's texts name files that are read when a row is asked for."""
    return column.kind in FILE_KINDS and (is_text(kind) or pa.types.is_dictionary(kind))


def rows_of(batch: pa.RecordBatch, columns: Sequence[Column], *, first_row: int = 0) -> Iterator[dict[str, RawValue]]:
    """The rows of a batch as raw values; files are read one row at a time. Raises NotFound naming a missing file."""
    read = [values(batch.column(column.name), column) for column in columns]
    lazy = [holds_paths(column, batch.schema.field(column.name).type) for column in columns]
    for index in range(batch.num_rows):
        row: dict[str, RawValue] = {}
        for column, cells, is_path in zip(columns, read, lazy, strict=True):
            cell = cells[index]
            if is_path and cell is not None:
                cell = read_file(str(cell), column=column, row=first_row + index)
            row[column.name] = cell
        yield row


def values(array: pa.Array, column: Column) -> Sequence[Any]:
    """All cells of an array as raw values; paths stay paths."""
    kind = array.type
    if is_fixed_tensor(kind):
        return _tensors(array)
    if pa.types.is_duration(kind):
        return [None if value is None else value.total_seconds() for value in _python_times(array)]
    if pa.types.is_temporal(kind):
        return [_time_text(value) for value in _python_times(array)]
    cells = array.to_pylist()
    if is_list(kind):
        dtype = np.uint8 if _holds_bytes(array) else None
        return [None if cell is None else np.asarray(cell, dtype) for cell in cells]
    if pa.types.is_decimal(kind):
        return [None if cell is None else decimal_number(cell) for cell in cells]
    if column.kind == "number":
        return [None if cell is None else _number(cell, column.reading or _UNDECIDED) for cell in cells]
    if column.kind == "category":
        return [one_form(cell) if isinstance(cell, str) else cell for cell in cells]
    return cells  # type: ignore[no-any-return]  # pyarrow has no types


def _holds_bytes(array: pa.Array) -> bool:
    """Whether lists are of pixels; all others are of Python's own numbers."""
    while is_list(array.type):
        array = array.flatten()
    return bool(array.type == pa.uint8() and not array.null_count)


def fixed_tensors(array: pa.Array) -> Array:
    """An Arrow array of tensors as one numpy array, without a copy where Arrow allows it."""
    shape = (len(array), *array.type.shape)
    storage = array.storage
    flat = storage.values.slice(storage.offset * storage.type.list_size, len(array) * storage.type.list_size)
    return flat.to_numpy(zero_copy_only=False).reshape(shape)  # type: ignore[no-any-return]


def read_file(path: str, *, column: Column, row: int) -> bytes:
    """The bytes of an image or sound that a cell names. Raises NotFound, FailedPrecondition or ResourceExhausted."""
    where = f"column {column.name!r}, row {row}"
    file = Path(column.root, path)
    try:
        size_bytes = file.stat().st_size
        if size_bytes > MAX_FILE_BYTES:
            raise ResourceExhausted(
                f"{where}: {path} has {size_bytes} bytes, at most {MAX_FILE_BYTES} are read.", fix="Leave it out."
            )
        return file.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"{where}: there is no file {path}.", fix="Restore the file, or drop its row.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a valid path"
        raise FailedPrecondition(f"{where}: {path} cannot be read: {reason}.", fix="Check the file.") from error


def category_text(value: object) -> str | None:
    """A category's name as pipelines write it: true for True, 3 for 3.0; None when it is missing."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, decimal.Decimal):
        value = decimal_number(value)
    if isinstance(value, datetime.timedelta):
        value = value.total_seconds()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    if isinstance(value, datetime.date | datetime.time):
        return _time_text(value)
    return one_form(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))


def _tensors(array: pa.Array) -> list[Array | None]:
    cells = fixed_tensors(array)
    if not array.null_count:
        return list(cells)
    return [cell if valid else None for cell, valid in zip(cells, array.is_valid().to_pylist(), strict=True)]


def _python_times(array: pa.Array) -> list[Any]:
    kind = array.type
    if getattr(kind, "unit", "") == "ns":  # Python's times know no nanoseconds
        coarser = {
            pa.types.is_timestamp: pa.timestamp("us", getattr(kind, "tz", None)),
            pa.types.is_time: pa.time64("us"),
        }
        array = array.cast(next((each for test, each in coarser.items() if test(kind)), pa.duration("us")), safe=False)
    return array.to_pylist()  # type: ignore[no-any-return]


def _time_text(value: Any) -> str | None:
    if value is None:
        return None
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _number(cell: Any, reading: Reading) -> Any:
    if isinstance(cell, bool):
        return int(cell)
    if isinstance(cell, str):
        return None if reading.is_missing(cell) else reading.number(cell)
    return cell
