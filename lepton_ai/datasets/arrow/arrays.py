"""NumPy arrays and Python lists as Arrow columns; arrays of several dimensions become one tensor for each row."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import math
from collections.abc import Iterable, Set
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lepton_ai.errors import InvalidInput
from lepton_ai.file import File
from lepton_ai.plain import decimal_number, is_missing, name_of, nearest_float, picture_file, python_scalar
from lepton_ai.tensors import checked_text

_ARROW_UNITS = ("s", "ms", "us", "ns")
_COARSE_UNITS = ("Y", "M", "W")
_ROWS = {list, tuple, dict}
_ONE_TYPE = "Give all its values one type."


def to_arrow(name: str, values: Any) -> pa.Array:
    """An array, tensor or list as an Arrow array. Raises InvalidInput naming the column."""
    checked_text(name, "column name")
    if hasattr(values, "tocsr"):
        raise InvalidInput.of_field(name, "is a sparse matrix", fix="Give it dense: x.toarray().")
    if hasattr(values, "detach"):  # a torch tensor
        values = values.detach().cpu().numpy()
    if isinstance(values, np.ndarray) and values.dtype == np.object_ and values.ndim > 1:
        values = _float_array(name, values)
    if isinstance(values, np.ndarray) and values.dtype != np.object_:
        return _from_numpy(name, values)
    return _from_list(name, list(values))


def tensor_array(array: np.ndarray[Any, Any]) -> pa.Array:
    """One tensor for each element of the first dimension; the content is not copied when it is contiguous."""
    flat = pa.array(np.ascontiguousarray(array).reshape(-1))
    size = int(np.prod(array.shape[1:]))
    if size == 0:
        raise InvalidInput(f"Tensors of shape {array.shape[1:]} hold nothing.")
    storage = pa.FixedSizeListArray.from_arrays(flat, size)
    return pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(flat.type, array.shape[1:]), storage)


def _from_numpy(name: str, array: np.ndarray[Any, Any]) -> pa.Array:
    if array.ndim == 0:
        raise InvalidInput.of_field(name, "is a single value, not one for each row")
    if array.dtype.kind not in "biufUSMm":
        raise InvalidInput.of_field(name, f"arrays of {array.dtype} cannot be stored", fix="Convert it to numbers.")
    array = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind == "U" and array.ndim == 1:
        return _from_list(name, array.tolist())
    if array.ndim > 1:
        if array.dtype.kind in "USMm":
            raise InvalidInput.of_field(name, "texts and times have one dimension")
        return tensor_array(array)
    return pa.array(array.astype(_storable(array.dtype), copy=False))


def _float_array(name: str, objects: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Numbers as data frames of several types give them in one array; NaN where one is missing."""
    try:
        floats = [math.nan if is_missing(value) else float(value) for value in objects.ravel()]
    except (TypeError, ValueError) as error:
        raise InvalidInput.of_field(
            name, "is an array of values of several types", fix="Give a data frame, or arrays by column name."
        ) from error
    return np.array(floats).reshape(objects.shape)


def _storable(dtype: np.dtype[Any]) -> npt.DTypeLike:
    """The nearest type that Arrow has, and can compute with."""
    if dtype.kind in "Mm":
        unit = np.datetime_data(dtype)[0]
        if dtype.kind == "m":
            return dtype if unit in _ARROW_UNITS else "timedelta64[s]"
        return dtype if unit in (*_ARROW_UNITS, "D") else f"datetime64[{'D' if unit in _COARSE_UNITS else 's'}]"
    return {2: np.float32, 4: np.float32}.get(dtype.itemsize, np.float64) if dtype.kind == "f" else dtype


def _from_list(name: str, values: list[Any]) -> pa.Array:
    values = [_plain(name, value) for value in values]
    first = next((value for value in values if value is not None), None)
    if isinstance(first, np.ndarray):
        return _from_arrays(name, values)
    if any(isinstance(value, datetime.datetime) for value in values):
        values = [_as_datetime(value) for value in values]
    for convert in (pa.array, _without_nan, _as_numbers):
        with contextlib.suppress(pa.ArrowException, OverflowError, ValueError, TypeError):
            return convert(values)
    for value in values:
        checked_text(value if isinstance(value, str) else "", name)
    raise _mixed(name, values)


def _mixed(name: str, values: list[Any]) -> InvalidInput:
    types = {type(value) for value in values if not is_missing(value)}
    fix = "Give rows as records, as a data frame, or as arrays by column name." if types & _ROWS else _ONE_TYPE
    return InvalidInput.of_field(
        name, f"holds {', '.join(sorted(each.__name__ for each in types))}", fix=fix, reason="MIXED_TYPES"
    )


def _without_nan(values: list[Any]) -> pa.Array:
    """NaN is what data frames put where a text, a time or a boolean is missing."""
    return pa.array([None if is_missing(value) else value for value in values])


def _as_numbers(values: list[Any]) -> pa.Array:
    """Whole numbers that are too large for 64 bits with a sign as such without one, else as floats.

    As texts where floats do not tell them apart: then they are ids.
    """
    there = [value for value in values if value is not None]
    if not all(type(value) in (int, float) for value in there):
        raise TypeError
    if all(type(value) is int and 0 <= value < 1 << 64 for value in there):
        return pa.array(values, pa.uint64())
    if len({nearest_float(value) for value in there}) < len(set(there)):
        return pa.array([None if value is None else str(value) for value in values])
    return pa.array([None if value is None else nearest_float(value) for value in values])


def _as_datetime(value: Any) -> Any:
    """A date among times is its midnight; Arrow would make dates of the times."""
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return datetime.datetime.combine(value, datetime.time.min)
    return value


def _from_arrays(name: str, values: list[Any]) -> pa.Array:
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    if not all(value is None or isinstance(value, np.ndarray | list | tuple) for value in values):
        raise _mixed(name, values)
    is_even = len(arrays) == len(values) and len({(array.shape, array.dtype) for array in arrays}) == 1
    if is_even and arrays[0].size and arrays[0].dtype != np.object_:
        return tensor_array(np.stack(arrays)) if arrays[0].ndim else _from_numpy(name, np.stack(arrays))
    lists = [value.tolist() if isinstance(value, np.ndarray) else value for value in values]
    kinds = {(array.dtype, array.ndim) for array in arrays}
    if len(arrays) == len(values) and len(kinds) == 1 and arrays[0].dtype.kind in "biuf":
        return _from_uneven(name, arrays, lists)
    return _from_list(name, lists)


def _from_uneven(name: str, arrays: list[np.ndarray[Any, Any]], lists: list[Any]) -> pa.Array:
    """Arrays of several shapes keep the type of their numbers: pictures of several sizes stay bytes."""
    kind = pa.from_numpy_dtype(np.dtype(_storable(arrays[0].dtype)))
    for _ in range(arrays[0].ndim):
        kind = pa.list_(kind)
    return pa.array(lists, kind)


def _plain(name: str, value: Any) -> Any:
    """What Arrow has no type for, as what it has. Raises InvalidInput for objects that are no value of a table."""
    if is_missing(value) and not isinstance(value, float | np.floating):  # NaN among numbers stays what it is
        return None
    if isinstance(value, np.generic):
        return python_scalar(value)
    if isinstance(value, decimal.Decimal):
        return decimal_number(value)
    if isinstance(value, memoryview | bytearray):
        return bytes(value)
    if isinstance(value, File):
        return str(value.path)
    if hasattr(value, "detach"):
        return value.detach().cpu().numpy()
    plain = (str, bytes, int, float, complex, bool, list, tuple, dict, np.ndarray, datetime.date, datetime.time)
    if value is None or isinstance(value, (*plain, datetime.timedelta)):
        return value
    if (picture := picture_file(value)) is not None:
        return picture
    text = str(value)  # a path, a UUID, an address
    if isinstance(value, Set) or name_of(value) != text:
        fix = "Give numbers, texts, times, bytes, pictures or arrays."
        raise InvalidInput.of_field(
            name, f"holds {type(value).__name__}, which is no value of a table", fix=fix, reason="NO_VALUE"
        )
    return text


def rows_table(columns: Iterable[tuple[str, pa.ChunkedArray]]) -> pa.Table:
    """Columns of equal length as a table. Raises InvalidInput for lengths that differ."""
    named = dict(columns)
    lengths = {name: len(array) for name, array in named.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in list(lengths.items())[:8])
        raise InvalidInput(f"The columns differ in length: {told}.", fix="Give one value for each row.")
    return pa.table(named)
