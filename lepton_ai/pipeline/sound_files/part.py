"""One sound in a file: format, rate, channels, length, and the bytes that a decoder is to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Format = Literal["WAV", "FLAC", "OGG", "MP3"]
Ending = Literal["whole", "cut", "unfinished"]


class UnknownFormat(ValueError):
    """Not a WAV, FLAC, Ogg (Vorbis, Opus) or MP3 file."""


class UnknownLength(ValueError):
    """A FLAC that was written to a pipe and whose length cannot be found either, so that no limit could be checked."""


class BrokenHeader(ValueError):
    """One of the formats, but a part is missing or makes no sense."""


class TooManySounds(ValueError):
    """More sounds one after the other than are allowed."""


@dataclass(frozen=True)
class SoundPart:
    """What a sound says about itself, before decoding."""

    format: Format
    rate_hz: int
    channels: int
    frames: int | None
    """Samples of each channel; None for compressed WAV, whose length libsndfile works out."""
    content: bytes
    """A whole file for the decoder: the sound's own bytes, with a header that is true of them."""
    end: int
    """Where in the file it ends."""
    ending: Ending = "whole"
    """Cut: the file ends before the sound does. Unfinished: the header's length was never filled in."""
    says_where_it_ends: bool = True
    """Whether it is complete whatever lies behind it; where it is not, something unknown there may be damaged sound."""
    lacks_beginning: bool = False
    """Whether what lies in front of it is the rest of a frame."""
    left_out: int = 0
    """Samples at the beginning, all but silent, that a decoder leaves out because of a repaired header."""


def big(data: bytes, offset: int, length: int) -> int:
    """An unsigned big-endian number of that many bytes."""
    return int.from_bytes(data[offset : offset + length], "big")


def little(data: bytes, offset: int, length: int) -> int:
    """An unsigned little-endian number of that many bytes."""
    return int.from_bytes(data[offset : offset + length], "little")
