"""Reads from a font file what its faces are called and which characters they have."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lepton_ai.tensors import Array

_COLLECTION = b"ttcf"
_FAMILY, _STYLE = 1, 2
_WINDOWS, _ENGLISH = 3, 0x409
_MOST_TABLES, _MOST_FACES = 256, 256
_MOST_BYTES = 16 << 20
"""Of one table; the largest fonts have half a megabyte of characters."""


@dataclass(frozen=True)
class Face:
    """One font of a file; a collection has several."""

    path: Path
    index: int
    family: str
    """In English, such as "Noto Sans CJK SC"."""
    style: str
    """Such as "Regular" or "Bold Oblique"."""

    @cached_property
    def characters(self) -> frozenset[int]:
        """The code points that it can draw; none if that part of the file is broken."""
        try:
            with self.path.open("rb") as file:
                start = _starts(file)[self.index]
                return frozenset(_mapped(_table(file, start, b"cmap")).tolist())
        except _UNREADABLE:
            return frozenset()


_UNREADABLE = (OSError, ValueError, LookupError, struct.error)
"""What a file that is no font, or a broken one, may raise: a machine's fonts are looked through, not relied on."""


def read_faces(path: Path) -> Iterator[Face]:
    """The faces of a TrueType or OpenType file or collection; none if it cannot be read as one."""
    try:
        with path.open("rb") as file:
            for index, start in enumerate(_starts(file)):
                names = _names(_table(file, start, b"name"))
                yield Face(path, index, names.get(_FAMILY, ""), names.get(_STYLE, ""))
    except _UNREADABLE:
        return


def _starts(file: BinaryIO) -> tuple[int, ...]:
    """Where the table directory of each face begins."""
    head = file.read(12)
    if head[:4] != _COLLECTION:
        return (0,)
    count = min(struct.unpack(">I", head[8:])[0], _MOST_FACES)
    return struct.unpack(f">{count}I", file.read(4 * count))


def _table(file: BinaryIO, start: int, tag: bytes) -> bytes:
    file.seek(start + 4)
    count = min(struct.unpack(">H", file.read(2))[0], _MOST_TABLES)
    file.seek(start + 12)
    for name, _, offset, length in struct.iter_unpack(">4sIII", file.read(16 * count)):
        if name == tag:
            file.seek(offset)
            return file.read(min(length, _MOST_BYTES))
    raise LookupError(tag)


def _names(table: bytes) -> dict[int, str]:
    """Name id → name, the English one where there are several."""
    _, count, texts = struct.unpack(">HHH", table[:6])
    names: dict[int, str] = {}
    for record in struct.iter_unpack(">6H", table[6 : 6 + 12 * count]):
        platform, _, language, name_id, length, offset = record
        if platform == _WINDOWS and (name_id not in names or language == _ENGLISH):
            names[name_id] = table[texts + offset : texts + offset + length].decode("utf-16-be", "replace")
    return names


def _mapped(table: bytes) -> Array:
    """The code points of a `cmap` table's fullest Unicode map."""
    (count,) = struct.unpack(">H", table[2:4])
    found: dict[int, int] = {}
    for platform, encoding, offset in struct.iter_unpack(">HHI", table[4 : 4 + 8 * count]):
        if platform == 0 or (platform == _WINDOWS and encoding in (1, 10)):
            (layout,) = struct.unpack(">H", table[offset : offset + 2])
            found[layout] = offset
    if 12 in found:
        return _segmented(table[found[12] :])
    return _segmented_in_16_bits(table[found[4] :])


def _segmented(table: bytes) -> Array:
    """Format 12: groups of first code, last code, first glyph."""
    (count,) = struct.unpack(">I", table[12:16])
    groups = np.frombuffer(table, ">u4", 3 * count, 16).reshape(-1, 3).astype(np.int64)
    groups = groups[(groups[:, 0] <= groups[:, 1]) & (groups[:, 1] <= 0x10FFFF)]
    return np.concatenate([np.arange(first, last + 1) for first, last, _ in groups])


def _segmented_in_16_bits(table: bytes) -> Array:
    """Format 4: segments whose glyphs are the codes moved by a number, or stand in a list, where 0 means none."""
    segments = struct.unpack(">H", table[6:8])[0] // 2
    words = np.frombuffer(table[: len(table) // 2 * 2], ">u2").astype(np.int64)
    last, first = words[7 : 7 + segments], words[8 + segments : 8 + 2 * segments]
    moved, listed_at = words[8 + 2 * segments : 8 + 3 * segments], 8 + 3 * segments
    codes = []
    for place in range(segments):
        run = np.arange(first[place], min(last[place], 0xFFFE) + 1)
        skip = words[listed_at + place]
        if skip:
            glyphs = words[np.minimum(listed_at + place + skip // 2 + run - first[place], len(words) - 1)]
        else:
            glyphs = (run + moved[place]) % 0x10000
        codes.append(run[glyphs != 0])
    return np.concatenate(codes)
