"""Arrow columns as what checks compare: numbers, which cells are missing, and a 64-bit hash of every cell."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lepton_ai.datasets import cells
from lepton_ai.datasets.schema import Column
from lepton_ai.datasets.times import Floats, seconds_since_1970
from lepton_ai.errors import LeptonError
from lepton_ai.file import FILE_KINDS

Hashes = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

_LARGEST_EXACT = 2.0**53
MISSING_HASH = np.uint64(0x9E3779B97F4A7C15)


def number_values(array: pa.Array, column: Column) -> Floats:
    """A column of numbers or times as float64, NaN where there is none."""
    if column.kind == "time":
        return seconds_since_1970(array, column.date_order)
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        return np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    return np.array([_as_float(value) for value in cells.values(array, column)], dtype=np.float64)


def missing_cells(array: pa.Array, column: Column) -> Mask:
    """Which cells hold no value: null, NaN, a blank text, a text that is no number in a column of numbers.

    An infinite target and a tensor that is not finite throughout are none either: nothing could put them right.
    """
    if column.kind in ("number", "time"):
        numbers = number_values(array, column)
        return ~np.isfinite(numbers) if column.role == "target" else np.isnan(numbers)
    missing = np.asarray(array.is_null().to_numpy(zero_copy_only=False), dtype=bool)
    if column.kind not in FILE_KINDS and cells.is_text(_value_type(array)):
        blank = pc.equal(pc.utf8_trim_whitespace(_plain(array)), "").fill_null(False)
        missing |= np.asarray(blank.to_numpy(zero_copy_only=False), dtype=bool)
    elif cells.is_fixed_tensor(array.type) and np.issubdtype(array.type.value_type.to_pandas_dtype(), np.floating):
        missing |= ~np.isfinite(cells.fixed_tensors(array)).reshape(len(array), -1).all(axis=1)
    return missing


def cell_hashes(array: pa.Array, column: Column, first_row: int) -> Hashes:
    """A hash of every cell's content, the same wherever its file lies. An unreadable file counts by its path."""
    if cells.holds_paths(column, array.type):
        return _of_files(array, column, first_row)
    if column.kind == "number" or pa.types.is_floating(array.type) or pa.types.is_integer(array.type):
        return _of_numbers(array, column)
    if cells.is_fixed_tensor(array.type):
        return _of_bytes([row.tobytes() for row in np.ascontiguousarray(cells.fixed_tensors(array))])
    if pa.types.is_nested(array.type):
        return _of_bytes([None if cell is None else str(cell).encode("utf-8", "replace") for cell in array.to_pylist()])
    encoded = array if isinstance(array, pa.DictionaryArray) else array.dictionary_encode()
    distinct = _of_bytes([_content(value) for value in encoded.dictionary.to_pylist()])
    places = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.asarray(np.append(distinct, MISSING_HASH)[places])


def mix(numbers: Hashes) -> Hashes:
    """Spreads 64 bits evenly: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    with np.errstate(over="ignore"):
        mixed = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def joined(hashes: list[Hashes], rows: int) -> Hashes:
    """One hash for each row of the hashes of its cells, in the order of the columns."""
    total = np.zeros(rows, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for each in hashes:
            total = mix(total * np.uint64(0x100000001B3) + each + np.uint64(1))
    return total


def _of_numbers(array: pa.Array, column: Column) -> Hashes:
    """Alike for 3 and 3.0; whole numbers beyond 2⁵³, such as ids, are told apart although floats cannot."""
    numbers = number_values(array, column) if column.kind == "number" else _floats(array)
    bits = (numbers + 0.0).view(np.uint64)  # + 0.0: −0 is 0
    if pa.types.is_integer(array.type) and (np.abs(numbers) > _LARGEST_EXACT).any():
        whole = array.fill_null(0).to_numpy(zero_copy_only=False)
        bits = np.where(np.abs(numbers) > _LARGEST_EXACT, ~whole.astype(np.uint64), bits)
    return np.where(np.isnan(numbers), MISSING_HASH, mix(bits))


def _of_files(array: pa.Array, column: Column, first_row: int) -> Hashes:
    contents: list[bytes | None] = []
    for index, path in enumerate(array.to_pylist()):
        try:
            data = None if path is None else cells.read_file(str(path), column=column, row=first_row + index)
        except LeptonError:  # the check of broken files tells it
            data = b"\0unreadable " + str(path).encode("utf-8", "surrogatepass")
        contents.append(None if data is None else blake2b(data, digest_size=16).digest())
    return _of_bytes(contents)


def _of_bytes(contents: list[bytes | None]) -> Hashes:
    digests = b"".join(blake2b(content or b"", digest_size=8).digest() for content in contents)
    hashed = np.frombuffer(digests, dtype=np.uint64)
    return np.where([content is None for content in contents], MISSING_HASH, hashed) if contents else hashed


def _content(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        # files within the table and files beside it must hash alike
        return None if value is None else blake2b(value, digest_size=16).digest()
    return str(value).encode("utf-8", "surrogatepass")


def _floats(array: pa.Array) -> Floats:
    return np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def _as_float(value: Any) -> float:
    return float("nan") if value is None or isinstance(value, str) else float(value)


def _plain(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if isinstance(array, pa.DictionaryArray) else array


def _value_type(array: pa.Array) -> pa.DataType:
    return array.type.value_type if isinstance(array, pa.DictionaryArray) else array.type
