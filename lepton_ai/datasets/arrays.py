"""numpy arrays and Python lists as Arrow columns; arrays of several dimensions become one tensor for each row."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lepton_ai.errors import InvalidInput
from lepton_ai.file import File
from lepton_ai.tensors import checked_text


def column_array(name: str, values: Any) -> pa.ChunkedArray:
    """A column's values as Arrow. Raises InvalidInput when they are of types that do not go together."""
    if isinstance(values, pa.ChunkedArray):
        return values
    if not isinstance(values, pa.Array):
        values = to_arrow(checked_text(name, "column name"), values)
    return pa.chunked_array([values], values.type)


def to_arrow(name: str, values: Any) -> pa.Array:
    """An array, tensor or list as an Arrow array. Raises InvalidInput naming the column."""
    if hasattr(values, "detach"):  # a torch tensor
        values = values.detach().cpu().numpy()
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
    if array.dtype.kind not in "biufUSM":
        raise InvalidInput.of_field(name, f"arrays of {array.dtype} cannot be stored", fix="Convert it to numbers.")
    array = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    if array.ndim > 1:
        if array.dtype.kind in "USM":
            raise InvalidInput.of_field(name, "texts and times have one dimension")
        return tensor_array(array)
    if array.dtype.kind == "U":
        return _from_list(name, array.tolist())
    return pa.array(array)


def _from_list(name: str, values: list[Any]) -> pa.Array:
    values = [_plain(value) for value in values]
    first = next((value for value in values if value is not None), None)
    if isinstance(first, np.ndarray):
        return _from_arrays(name, values)
    try:
        return pa.array(values)
    except UnicodeEncodeError as error:
        raise InvalidInput.of_field(
            name,
            "holds half a surrogate pair, which no UTF-8 text can",
            reason="INVALID_TEXT",
            fix="Decode it rightly.",
        ) from error
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        types = sorted({type(value).__name__ for value in values if value is not None})
        raise InvalidInput.of_field(
            name, f"holds {', '.join(types)}", fix="Give all its values one type.", reason="MIXED_TYPES"
        ) from error


def _from_arrays(name: str, values: list[Any]) -> pa.Array:
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    if len(arrays) == len(values) and len({(array.shape, array.dtype) for array in arrays}) == 1 and arrays[0].size:
        return tensor_array(np.stack(arrays)) if arrays[0].ndim else pa.array(np.stack(arrays))
    return _from_list(name, [value.tolist() if isinstance(value, np.ndarray) else value for value in values])


def _plain(value: Any) -> Any:
    """What Arrow has no type for, as what it has."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path | File):
        return str(value.path if isinstance(value, File) else value)
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, memoryview | bytearray):
        return bytes(value)
    if hasattr(value, "detach"):
        return value.detach().cpu().numpy()
    plain = (str, bytes, int, float, bool, list, tuple, dict, np.ndarray, datetime.date, datetime.time)
    if value is None or isinstance(value, (*plain, datetime.timedelta)):
        return value
    return str(value)


def rows_table(columns: Iterable[tuple[str, pa.ChunkedArray]]) -> pa.Table:
    """Columns of equal length as a table. Raises InvalidInput for lengths that differ."""
    named = dict(columns)
    lengths = {name: len(array) for name, array in named.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in list(lengths.items())[:8])
        raise InvalidInput(f"The columns differ in length: {told}.", fix="Give one value for each row.")
    return pa.table(named)
