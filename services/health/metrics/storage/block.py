"""A file of packed rows, written once, whole or not at all: an index, and for each target its columns and chunks.

A target is found and read without the others. Its columns have a digest in the index: they are the same in one file
after the other, and are read once.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.health.metrics.storage.chunk import Chunk
from services.health.metrics.storage.columns import Column, Columns, Pairs

_SIZES = struct.Struct("<II")
_CHUNK_SIZE = struct.Struct("<I")
BROKEN = (OSError, ValueError, LookupError, TypeError, struct.error, zlib.error)
"""What reading a damaged file raises."""


@dataclass(frozen=True)
class BlockTarget:
    """Where a target's part lies."""

    common: Mapping[str, str]
    digest: str
    """Of its columns: equal ones are equal."""
    offset: int
    columns_size: int
    size: int
    checksum: int


@dataclass(frozen=True)
class Block:
    """What the index says."""

    path: Path
    start_s: float
    end_s: float
    size_bytes: int
    targets: tuple[BlockTarget, ...]

    @classmethod
    def open(cls, path: Path) -> Block:
        """Read the index. Raises one of BROKEN."""
        with path.open("rb") as file:
            size, checksum = _SIZES.unpack(file.read(_SIZES.size))
            index = file.read(size)
        if zlib.crc32(index) != checksum:
            raise ValueError("damaged")
        start_s, end_s, listed = json.loads(index)
        begin = _SIZES.size + size
        targets = tuple(
            BlockTarget(common, str(digest), begin + int(offset), int(names), int(whole), int(check))
            for common, digest, offset, names, whole, check in listed
        )
        return cls(path, float(start_s), float(end_s), path.stat().st_size, targets)

    def columns(self, target: BlockTarget, known: dict[Pairs, Pairs]) -> Columns:
        """Its columns. `known` keeps equal labels from being kept twice. Raises one of BROKEN."""
        columns = Columns(target.common)
        for listed, is_counter in json.loads(zlib.decompress(self._part(target)[: target.columns_size])):
            pairs = tuple((str(name), str(value)) for name, value in listed)
            columns.add(Column(known.setdefault(pairs, pairs), bool(is_counter)))
        return columns

    def chunks(self, target: BlockTarget) -> list[Chunk]:
        """Its rows, the oldest first. Raises one of BROKEN."""
        part, position, chunks = self._part(target), target.columns_size, list[Chunk]()
        while position < len(part):
            (size,) = _CHUNK_SIZE.unpack_from(part, position)
            position += _CHUNK_SIZE.size
            chunks.append(Chunk.from_bytes(part[position : position + size]))
            position += size
        return chunks

    def _part(self, target: BlockTarget) -> bytes:
        with self.path.open("rb") as file:
            file.seek(target.offset)
            part = file.read(target.size)
        if zlib.crc32(part) != target.checksum:
            raise ValueError("damaged")
        return part


def write_block(path: Path, tracks: Iterable[tuple[Columns, Sequence[Chunk]]]) -> Block:
    """Write these rows, at least one. Raises OSError."""
    parts, targets, offset = list[bytes](), list[object](), 0
    start_s, end_s = float("inf"), 0.0
    for columns, chunks in tracks:
        listed = json.dumps([[column.pairs, column.is_counter] for column in columns.columns], ensure_ascii=False)
        names = zlib.compress(listed.encode())
        packed = [chunk.to_bytes() for chunk in chunks]
        part = names + b"".join(_CHUNK_SIZE.pack(len(each)) + each for each in packed)
        digest = hashlib.blake2b(listed.encode(), digest_size=12).hexdigest()
        targets.append([columns.common, digest, offset, len(names), len(part), zlib.crc32(part)])
        parts.append(part)
        offset += len(part)
        start_s, end_s = min(start_s, chunks[0].start_s), max(end_s, chunks[-1].end_s)
    index = json.dumps([start_s, end_s, targets], ensure_ascii=False).encode()
    draft = path.with_suffix(".new")
    with draft.open("wb") as file:
        file.write(_SIZES.pack(len(index), zlib.crc32(index)) + index + b"".join(parts))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return Block.open(path)
