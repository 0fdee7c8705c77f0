"""SHA-256 over what a data set holds, whatever its chunks, its files' places and Arrow's choice of layout."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lepton_ai.datasets import cells
from lepton_ai.datasets.schema import Column, Schema
from lepton_ai.tensors import Array


class ContentDigest:
    """Takes batches in order and gives one digest; memory is bounded by the largest batch and the largest file.

    Validity, lengths and bytes go into a hash each, so that the digest does not depend on where batches end. Names,
    kinds, roles and categories count; notes, folders and whether a picture lies in a file or in the table do not.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._columns = [_ColumnDigest(column) for column in schema]
        self._rows = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Count in some rows. Raises NotFound when a file that a cell names is gone."""
        for column in self._columns:
            column.update(batch.column(column.column.name), self._rows)
        self._rows += batch.num_rows

    def hexdigest(self) -> str:
        """The digest in lower-case hex."""
        header = [[column.name, column.kind, column.role, column.categories] for column in self._schema]
        hasher = hashlib.sha256(json.dumps([self._rows, header], ensure_ascii=False).encode("utf-8", "surrogatepass"))
        for column in self._columns:
            hasher.update(column.digest())
        return hasher.hexdigest()


def content_digest(batches: Iterable[pa.RecordBatch], schema: Schema) -> str:
    """The digest of all batches together."""
    digest = ContentDigest(schema)
    for batch in batches:
        digest.update(batch)
    return digest.hexdigest()


class _ColumnDigest:
    def __init__(self, column: Column) -> None:
        self.column = column
        self._type = ""
        self._validity = hashlib.sha256()
        self._lengths = hashlib.sha256()
        self._data = hashlib.sha256()

    def digest(self) -> bytes:
        parts = (self._type.encode(), self._validity.digest(), self._lengths.digest(), self._data.digest())
        return hashlib.sha256(b"\0".join(parts)).digest()

    def update(self, array: pa.Array, first_row: int) -> None:
        if isinstance(array, pa.DictionaryArray):
            array = array.dictionary_decode()
        self._validity.update(np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=np.uint8).tobytes())
        if cells.holds_paths(self.column, array.type):
            self._type = "bytes"
            self._update_files(array, first_row)
        else:
            self._update_values(array)

    def _update_files(self, array: pa.Array, first_row: int) -> None:
        for index, path in enumerate(array.to_pylist()):
            data = b"" if path is None else cells.read_file(path, column=self.column, row=first_row + index)
            self._lengths.update(len(data).to_bytes(8, "little"))
            self._data.update(data)

    def _update_values(self, array: pa.Array) -> None:
        kind = array.type
        if cells.is_text(kind) or cells.is_binary(kind):
            self._type = "text" if cells.is_text(kind) else "bytes"
            self._update_bytes(array.cast(pa.large_binary()) if not cells.is_text(kind) else _as_text(array))
        elif cells.is_fixed_tensor(kind):
            self._type = str(kind)
            storage = array.storage
            if storage.null_count:
                storage = storage.fill_null([0] * kind.storage_type.list_size)
            self._update_fixed(storage.flatten())
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
            self._type += "" if self._type else "list "
            self._lengths.update(_lengths(array.value_lengths()).tobytes())
            self._update_values(array.flatten())
        else:
            self._type = str(kind)
            self._update_fixed(array)

    def _update_bytes(self, array: pa.Array) -> None:
        self._lengths.update(_lengths(pc.binary_length(array)).tobytes())
        for start in range(0, len(array), 1024):
            self._data.update(b"".join(cell or b"" for cell in array.slice(start, 1024).to_pylist()))

    def _update_fixed(self, array: pa.Array) -> None:
        numbers = _numbers(array)
        if numbers is None:
            for value in array.to_pylist():
                text = json.dumps(value, default=str, sort_keys=True, ensure_ascii=False)
                self._data.update(text.encode("utf-8", "surrogatepass") + b"\0")
        else:
            self._data.update(np.ascontiguousarray(numbers).data)


def _as_text(array: pa.Array) -> pa.Array:
    return array.cast(pa.large_string()).cast(pa.large_binary())


def _lengths(array: pa.Array) -> Array:
    return np.asarray(array.fill_null(0).to_numpy(zero_copy_only=False), dtype="<i8")


def _numbers(array: pa.Array) -> Array | None:
    """Numbers with one way to write missing ones and NaN; None for types that numpy lacks."""
    kind = array.type
    if pa.types.is_temporal(kind):
        array = array.cast(pa.int64() if kind.bit_width == 64 else pa.int32())
    elif pa.types.is_boolean(kind):
        array = array.cast(pa.uint8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    zero: Any = 0.0 if pa.types.is_floating(array.type) else 0
    if array.null_count:
        array = array.fill_null(pa.scalar(zero, array.type))
    numbers = np.asarray(array.to_numpy(zero_copy_only=False))
    if numbers.dtype.kind == "f" and np.isnan(numbers).any():
        numbers = np.where(np.isnan(numbers), np.asarray(np.nan, dtype=numbers.dtype), numbers)
    return numbers
