"""Finds the sounds in a file: past tags and zeros, and one after the other when files were joined.

Sources: id3.org's ID3v2.4 and ID3v1, the APEv2 and Lyrics3 descriptions that players follow.
"""

from __future__ import annotations

import re
from dataclasses import replace

from lepton_ai.pipeline.sound_files import flac, mp3, ogg, wave
from lepton_ai.pipeline.sound_files.part import BrokenHeader, SoundPart, TooManySounds, UnknownFormat, big, little

MAX_SOUNDS = 100
"""How many sounds one file may hold."""
_MAX_TAGS = 100
"""How many tags are passed over in one place."""
_ZEROS = re.compile(rb"\0+")
_LYRICS = re.compile(rb"LYRICSBEGIN.*?LYRICS(?:200|END)", re.DOTALL)


def read_parts(data: bytes) -> list[SoundPart]:
    """The sounds that follow one another in a file, usually one.

    Raises UnknownFormat, UnknownLength, TooManySounds, or BrokenHeader, also for what is neither a sound nor a tag and
    lies behind a sound that does not say where it ends.
    """
    offset, parts = _after_tags(data, 0), list[SoundPart]()
    while offset < len(data):
        part = _read_part(data, offset) or (None if parts else _read_piece(data, offset))
        if part is None:
            if parts and parts[-1].says_where_it_ends:
                break
            raise BrokenHeader if parts or data[:3] == b"ID3" else UnknownFormat
        if len(parts) == MAX_SOUNDS:
            raise TooManySounds
        parts.append(part)
        offset = _after_tags(data, part.end)
    if not parts:
        raise BrokenHeader if data[:3] == b"ID3" else UnknownFormat
    return parts


def _read_part(data: bytes, start: int) -> SoundPart | None:
    if wave.begins(data, start):
        return wave.read(data, start)
    if data.startswith(flac.MAGIC, start):
        return flac.read(data, start)
    if data.startswith(ogg.MAGIC, start):
        return ogg.read(data, start)
    return mp3.read(data, start) if mp3.is_sync(data, start) else None


def _read_piece(data: bytes, start: int) -> SoundPart | None:
    """A piece of an MP3 stream, which seldom begins with a whole frame."""
    begin = mp3.first_whole_frame(data, start)
    return None if begin is None else replace(mp3.read(data, begin), lacks_beginning=True)


def _after_tags(data: bytes, offset: int) -> int:
    """Where the next thing begins that is neither a tag nor zeros."""
    for _ in range(_MAX_TAGS):
        length = _tag_bytes(data, offset)
        if length == 0:
            break
        offset += length
    return offset


def _tag_bytes(data: bytes, offset: int) -> int:
    """Length of the tag or the zeros at that place; 0 when there are none."""
    if data.startswith(b"ID3", offset):
        return _id3_bytes(data, offset)
    if data.startswith(b"TAG", offset):
        return 227 if data.startswith(b"+", offset + 3) else 128
    if data.startswith(b"APETAGEX", offset):
        is_header = bool(little(data, offset + 20, 4) & 1 << 29)  # the size counts the footer, never the header
        return 32 + (little(data, offset + 12, 4) if is_header else 0)
    match = _ZEROS.match(data, offset) or _LYRICS.match(data, offset)
    return match.end() - offset if match else 0


def _id3_bytes(data: bytes, offset: int) -> int:
    size_bytes = 0
    for shift in range(4):
        size_bytes = size_bytes << 7 | big(data, offset + 6 + shift, 1) & 0x7F
    return 10 + size_bytes + (10 if big(data, offset + 5, 1) & 0x10 else 0)
