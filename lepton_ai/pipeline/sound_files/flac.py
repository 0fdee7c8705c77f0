"""FLAC files, also such that were cut or written to a pipe: their length is found in the last frame's header.

Source: RFC 9639.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from lepton_ai.pipeline.sound_files.part import BrokenHeader, SoundPart, UnknownLength, big

MAGIC = b"fLaC"
_STREAM_INFO = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")
"""How a file begins: with a block of 34 bytes that describes the stream, and is the last of its blocks or not."""
_TOTAL_BITS = 36
_LAST_BLOCK = 0x80
_VARIABLE_BLOCKS = 1
_MAX_CANDIDATES = 2000
"""Places where the last frame may begin that are tried; a checksum of 8 bits tells the false ones."""
_MAX_FRAME_BYTES = 128 * 1024
"""Frames of 4,096 samples in 8 channels of 24 bits have less; of larger ones it is not asked whether they are whole."""


class _Frame(NamedTuple):
    start: int
    first_sample: int
    samples: int


def read(data: bytes, start: int) -> SoundPart:
    """The FLAC file that begins there. Raises BrokenHeader, or UnknownLength where there is not one whole frame."""
    if not data.startswith(_STREAM_INFO, start) or start + 42 > len(data):
        raise BrokenHeader
    end = _next_file(data, start + 42)
    packed = big(data, start + 18, 8)  # 20 bits of rate, 3 of channels − 1, 5 of depth − 1, 36 of length
    rate_hz, channels, frames = packed >> 44, (packed >> 41 & 7) + 1, packed & (1 << _TOTAL_BITS) - 1
    part = SoundPart("FLAC", rate_hz, channels, frames, data[start:end], end)
    if frames:
        return part
    shortened = shortened_to_whole_frames(part)
    if shortened is None:
        raise UnknownLength
    return replace(shortened, ending="unfinished")


def _next_file(data: bytes, offset: int) -> int:
    """Where another FLAC file begins behind the first, or the end."""
    while (offset := data.find(MAGIC, offset)) >= 0:
        if data.startswith(_STREAM_INFO, offset):
            return offset
        offset += len(MAGIC)
    return len(data)


def shortened_to_whole_frames(part: SoundPart) -> SoundPart | None:
    """The sound up to its last whole frame, with that length declared; None when there is no whole frame."""
    frame = _last_frame(part.content)
    if frame is None:
        return None
    coded = part.content[frame.start :]
    is_whole = len(coded) <= _MAX_FRAME_BYTES and _checksum(coded, 0x8005, bits=16) == 0
    frames = frame.first_sample + (frame.samples if is_whole else 0)
    packed = big(part.content, 18, 8) >> _TOTAL_BITS << _TOTAL_BITS | frames
    content = part.content[:18] + packed.to_bytes(8, "big") + part.content[26:]
    return replace(part, frames=frames, content=content, ending="cut") if frames else None


def _last_frame(data: bytes) -> _Frame | None:
    begin = _after_metadata(data)
    sync = data[begin : begin + 2]
    if sync not in (b"\xff\xf8", b"\xff\xf9"):
        return None
    offset = len(data)
    for _ in range(_MAX_CANDIDATES):
        offset = data.rfind(sync, begin, offset)
        if offset < 0:
            break
        frame = _frame(data, offset, is_variable=bool(sync[1] & _VARIABLE_BLOCKS))
        if frame is not None:
            return frame
    return None


def _after_metadata(data: bytes) -> int:
    offset, is_last = len(MAGIC), False
    while not is_last and offset < len(data):
        is_last = bool(data[offset] & _LAST_BLOCK)
        offset += 4 + big(data, offset + 1, 3)
    return offset


def _frame(data: bytes, start: int, *, is_variable: bool) -> _Frame | None:
    """The frame whose header begins there; None when its checksum says that it is no header."""
    head = data[start : start + 16]
    size_code, rate_code = (head[2] >> 4, head[2] & 15) if len(head) > 2 else (0, 15)
    number, length = _coded_number(head[4:])
    size_bytes = {6: 1, 7: 2}.get(size_code, 0)
    end = 4 + length + size_bytes + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if not length or not size_code or end >= len(head) or _checksum(head[: end + 1], 0x07, bits=8) != 0:
        return None
    if size_bytes:
        samples = big(head, 4 + length, size_bytes) + 1
    else:
        samples = 192 if size_code == 1 else 576 << size_code - 2 if size_code < 6 else 256 << size_code - 8
    return _Frame(start, number if is_variable else number * big(data, 8, 2), samples)


def _coded_number(data: bytes) -> tuple[int, int]:
    """A number coded as UTF-8 codes characters, of up to 36 bits, and its length in bytes; 0 for what is none."""
    first = data[0] if data else 0xFF
    length = 8 - (first ^ 0xFF).bit_length() if first != 0xFF else 8
    if length in (1, 8) or len(data) < length:
        return 0, 0
    number = first & (0x7F >> length)
    for byte in data[1:length]:
        number = number << 6 | byte & 0x3F
    return number, max(length, 1)


def _checksum(data: bytes, polynomial: int, *, bits: int) -> int:
    """CRC of that width, high bit first; 0 for data that end with their own."""
    crc, high, mask = 0, 1 << bits - 1, (1 << bits) - 1
    for byte in data:
        crc ^= byte << bits - 8
        for _ in range(8):
            crc = (crc << 1 ^ polynomial if crc & high else crc << 1) & mask
    return crc
