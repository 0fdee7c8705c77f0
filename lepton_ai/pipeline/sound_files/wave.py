"""WAV files: RIFF, RF64 and BW64, also of recorders that were killed before they filled in how long the sound is.

Sources: Microsoft's RIFF/WAVE specification, EBU Tech 3306 (RF64), ITU-R BS.2088 (BW64).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from lepton_ai.pipeline.sound_files.part import BrokenHeader, Ending, SoundPart, little

_CONTAINERS = (b"RIFF", b"RF64", b"BW64")
_LINEAR = frozenset({0x0001, 0x0003, 0x0006, 0x0007, 0xFFFE})
"""PCM, IEEE float, A-law, µ-law, extensible: formats in which a block holds one sample of every channel."""
_UNKNOWN_BYTES = 0x7FFFF000
"""Programs that write to a pipe declare this much or more, not knowing the length."""
_IN_DS64 = 0xFFFFFFFF
_MAX_CHUNKS = 1000
"""How many chunks are looked at before the samples, and behind them."""


class _Chunk(NamedTuple):
    name: bytes
    body: int
    """Where its content begins."""
    size_bytes: int
    next: int
    """Where the chunk behind it begins."""

    @property
    def is_padded_as_it_should_be(self) -> bool:
        return self.next - self.body - self.size_bytes == self.size_bytes % 2


def begins(data: bytes, offset: int) -> bool:
    """Whether a WAV file begins at that place."""
    return data[offset : offset + 4] in _CONTAINERS and data[offset + 8 : offset + 12] == b"WAVE"


def read(data: bytes, start: int) -> SoundPart:
    """The WAV file that begins there. Raises BrokenHeader."""
    offset, layout, long_bytes, is_plain = start + 12, b"", 0, data.startswith(b"RIFF", start)
    for _ in range(_MAX_CHUNKS):
        chunk = _chunk(data, offset)
        if chunk is None:
            break
        if chunk.name == b"data":
            size_bytes = long_bytes if chunk.size_bytes == _IN_DS64 and long_bytes else chunk.size_bytes
            ending = _ending(data, chunk.body, size_bytes)
            end = _end_of_chunks(data, chunk.next) if ending == "whole" and is_plain else len(data)
            sound = data[chunk.body : chunk.body + size_bytes] if ending == "whole" else data[chunk.body :]
            content = data[start:end] if ending == "whole" and is_plain else _file(layout, sound)
            return _part(layout, len(sound), content, end, ending)
        if chunk.name == b"fmt ":
            layout = data[chunk.body : chunk.body + chunk.size_bytes]
        if chunk.name == b"ds64":
            long_bytes = little(data, chunk.body + 8, 8)
        offset, is_plain = chunk.next, is_plain and chunk.is_padded_as_it_should_be
    raise BrokenHeader


def _part(layout: bytes, sound_bytes: int, content: bytes, end: int, ending: Ending) -> SoundPart:
    block_bytes = little(layout, 12, 2)
    if len(layout) < 16 or block_bytes == 0:
        raise BrokenHeader
    frames = sound_bytes // block_bytes if little(layout, 0, 2) in _LINEAR else None
    return SoundPart("WAV", little(layout, 4, 4), little(layout, 2, 2), frames, content, end, ending)


def _ending(data: bytes, body: int, declared_bytes: int) -> Ending:
    available_bytes = len(data) - body
    if declared_bytes >= _UNKNOWN_BYTES:
        return "unfinished"
    if declared_bytes == 0:  # an empty sound, unless what follows is no chunk
        is_empty = available_bytes == 0 or _end_of_chunks(data, body) >= len(data)
        return "whole" if is_empty else "unfinished"
    return "cut" if declared_bytes > available_bytes else "whole"


def _chunk(data: bytes, offset: int) -> _Chunk | None:
    """The chunk that begins there; None where there is no room or no name for one."""
    if offset + 8 > len(data) or not _is_name(data, offset):
        return None
    size_bytes = little(data, offset + 4, 4)
    end = offset + 8 + size_bytes
    # some programs write no padding byte behind an odd length
    is_padded = size_bytes % 2 == 1 and (_is_name(data, end + 1) or not _is_name(data, end))
    return _Chunk(data[offset : offset + 4], offset + 8, size_bytes, end + is_padded)


def _is_name(data: bytes, offset: int) -> bool:
    return all(0x20 <= byte < 0x7F for byte in data[offset : offset + 4]) and offset + 4 <= len(data)


def _end_of_chunks(data: bytes, offset: int) -> int:
    """Where the chunks end that begin there: at another file, at something else, or behind the end of the data."""
    for _ in range(_MAX_CHUNKS):
        chunk = _chunk(data, offset)
        if chunk is None or begins(data, offset):
            break
        offset = chunk.next
    return offset


def _file(layout: bytes, sound: bytes) -> bytes:
    """A WAV file of that layout and sound, with true lengths."""
    body = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout + bytes(len(layout) % 2)
    body += b"data" + struct.pack("<I", len(sound))
    return b"RIFF" + struct.pack("<I", len(body) + len(sound)) + body + sound
