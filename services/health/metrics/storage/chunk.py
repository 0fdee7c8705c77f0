"""Rows of one target, packed by column: most series do not change, and most that do are whole numbers."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.health.metrics.series import STALE

_CONSTANT, _SMALL, _LARGE, _ANY = range(4)
_OFFSETS = {_SMALL: np.uint16, _LARGE: np.uint32}
_MAX_EXACT = 2.0**53
_HEADER = struct.Struct("<IIIII")


@dataclass(frozen=True)
class Chunk:
    """What `pack` makes. A series is read without the others being unpacked."""

    times_s: NDArray[np.float64]
    """[rows]."""
    kinds: NDArray[np.uint8]
    """[columns]: constant, whole numbers in 16 or 32 bits above their smallest, or any numbers."""
    places: NDArray[np.int32]
    """[columns], in the table of their kind."""
    base: NDArray[np.float64]
    """[columns]: the smallest value, or the only one."""
    tables: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
    """Of small and large offsets and of any numbers, each [columns of the kind, rows]."""

    @property
    def start_s(self) -> float:
        return float(self.times_s[0])

    @property
    def end_s(self) -> float:
        return float(self.times_s[-1])

    @property
    def size_bytes(self) -> int:
        """The memory that it takes."""
        arrays = (self.times_s, self.kinds, self.places, self.base, *self.tables)
        return sum(array.nbytes for array in arrays)

    def read(self, columns: Sequence[int]) -> NDArray[np.float64]:
        """[columns, rows]; STALE for columns that came later."""
        values = np.full((len(columns), len(self.times_s)), STALE)
        wanted = np.asarray(columns, np.int64)
        known = np.flatnonzero(wanted < len(self.kinds))
        there = wanted[known]
        kinds = self.kinds[there]
        for kind in range(4):
            of_kind = kinds == kind
            if not of_kind.any():
                continue
            rows, chosen = known[of_kind], there[of_kind]
            if kind == _CONSTANT:
                values[rows] = self.base[chosen][:, None]
            elif kind == _ANY:
                values[rows] = self.tables[2][self.places[chosen]]
            else:
                values[rows] = self.base[chosen][:, None] + self.tables[kind - 1][self.places[chosen]]
        return values

    def to_bytes(self) -> bytes:
        """For a file. Neighbours in time are subtracted, and bytes of equal weight lie together: both pack well."""
        small, large, other = self.tables
        parts = [
            _HEADER.pack(len(self.times_s), len(self.kinds), len(small), len(large), len(other)),
            _shuffled(_deltas(self.times_s.view(np.uint64))),
            self.kinds.tobytes(),
            _shuffled(self.places.view(np.uint32)),
            _shuffled(self.base.view(np.uint64)),
            _shuffled(_deltas(small)),
            _shuffled(_deltas(large)),
            _shuffled(_deltas(other.view(np.uint64))),
        ]
        return zlib.compress(b"".join(parts), 6)

    @classmethod
    def from_bytes(cls, packed: bytes) -> Chunk:
        """What `to_bytes` has written. Raises ValueError, struct.error or zlib.error for anything else."""
        source = _Source(zlib.decompress(packed))
        rows, columns, small, large, other = _HEADER.unpack(source.take(_HEADER.size))
        times = _sums(source.array(np.uint64, 1, rows))[0].view(np.float64)
        kinds = np.frombuffer(source.take(columns), np.uint8)
        places = source.array(np.uint32, 1, columns)[0].view(np.int32)
        base = source.array(np.uint64, 1, columns)[0].view(np.float64)
        tables = (
            _sums(source.array(np.uint16, small, rows)),
            _sums(source.array(np.uint32, large, rows)),
            _sums(source.array(np.uint64, other, rows)).view(np.float64),
        )
        return cls(times, kinds, places, base, tables)


def pack(times_s: NDArray[np.float64], rows: NDArray[np.float64]) -> Chunk:
    """`rows` [rows, columns] at these times, at least one. Every bit is kept, but for the sign of zeros."""
    values = np.ascontiguousarray(rows.T)
    bits = values.view(np.uint64)
    kinds = np.full(len(values), _ANY, np.uint8)
    base = values[:, 0].copy() if len(values) else np.empty(0)
    changing = np.flatnonzero((bits != bits[:, :1]).any(axis=1))
    kinds[np.setdiff1d(np.arange(len(values)), changing, assume_unique=True)] = _CONSTANT
    moved = values[changing]
    with np.errstate(invalid="ignore", over="ignore"):
        whole = ((np.abs(moved) < _MAX_EXACT) & (np.rint(moved) == moved)).all(axis=1)
        low = moved.min(axis=1) if len(moved) else np.empty(0)
        spread = moved.max(axis=1) - low if len(moved) else np.empty(0)
        kinds[changing[whole & (spread < 2**32)]] = _LARGE
        kinds[changing[whole & (spread < 2**16)]] = _SMALL
    base[changing[whole]] = low[whole]
    places = np.zeros(len(values), np.int32)
    tables: list[NDArray[Any]] = []
    for kind in (_SMALL, _LARGE, _ANY):
        chosen = np.flatnonzero(kinds == kind)
        places[chosen] = np.arange(len(chosen))
        table = values[chosen]
        tables.append(table if kind == _ANY else (table - base[chosen][:, None]).astype(_OFFSETS[kind]))
    return Chunk(np.array(times_s), kinds, places, base, (tables[0], tables[1], tables[2]))


class _Source:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0

    def take(self, size: int) -> bytes:
        part = self._content[self._position : self._position + size]
        if len(part) < size:
            raise ValueError("the chunk is cut short")
        self._position += size
        return part

    def array(self, kind: type[np.unsignedinteger[Any]], columns: int, rows: int) -> NDArray[Any]:
        """[columns, rows] of what `_shuffled` has written."""
        width = np.dtype(kind).itemsize
        planes = np.frombuffer(self.take(columns * rows * width), np.uint8).reshape(width, -1)
        return np.ascontiguousarray(planes.T).reshape(-1).view(kind).reshape(columns, rows)


def _shuffled(values: NDArray[Any]) -> bytes:
    """All first bytes, then all second ones, and so on."""
    flat = np.ascontiguousarray(values).reshape(-1)
    return flat.view(np.uint8).reshape(-1, flat.itemsize).T.tobytes()


def _deltas(values: NDArray[Any]) -> NDArray[Any]:
    """Differences along the last axis, which wrap around."""
    return np.diff(values, prepend=values.dtype.type(0), axis=-1)


def _sums(deltas: NDArray[Any]) -> NDArray[Any]:
    return np.cumsum(deltas, axis=-1, dtype=deltas.dtype)
