"""Reads format and size from the first bytes of a JPEG, PNG or WebP, so that limits hold before anything is decoded.

Pillow's WebP reader allocates the whole canvas when it opens a file, hence the parsing here. Sources: ITU-T T.81
annex B (JPEG), W3C PNG third edition, RFC 9649 (WebP).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Format = Literal["JPEG", "PNG", "WEBP"]

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Start-of-frame markers: C0..CF without DHT (C4), JPG (C8) and DAC (CC).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a length: TEM, RST0..7, SOI.
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_VP8X_ANIMATION = 0x02


class UnknownFormat(ValueError):
    """Not a JPEG, PNG or WebP."""


class BrokenHeader(ValueError):
    """One of the formats, but the header ends early or makes no sense."""


@dataclass(frozen=True)
class ImageHeader:
    """What an encoded image says about itself, before decoding."""

    format: Format
    width: int
    height: int
    bit_depth: int = 8
    animated: bool = False
    colour_code: bytes = b""
    """Of a PNG, its cICP chunk: primaries, transfer, matrix and range as ITU-T H.273 numbers them."""


def read_header(data: bytes) -> ImageHeader:
    """Format and size of an encoded image. Raises UnknownFormat or BrokenHeader."""
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(_PNG_SIGNATURE):
        return _png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    raise UnknownFormat


def _jpeg(data: bytes) -> ImageHeader:
    offset = 2
    while offset + 9 <= len(data):
        if data[offset] != 0xFF:
            break
        marker = data[offset + 1]
        if marker == 0xFF:  # fill byte
            offset += 1
        elif marker in _JPEG_BARE:
            offset += 2
        elif marker in _JPEG_FRAMES:
            height, width = _big(data, offset + 5, 2), _big(data, offset + 7, 2)
            return ImageHeader("JPEG", width, height, bit_depth=data[offset + 4])
        else:
            offset += 2 + _big(data, offset + 2, 2)
    raise BrokenHeader


def _png(data: bytes) -> ImageHeader:
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise BrokenHeader
    chunks = _chunks_before_pixels(data)
    return ImageHeader(
        "PNG",
        _big(data, 16, 4),
        _big(data, 20, 4),
        bit_depth=data[24],
        animated=b"acTL" in chunks,  # what makes a PNG an APNG
        colour_code=chunks.get(b"cICP", b""),
    )


def _chunks_before_pixels(data: bytes) -> dict[bytes, bytes]:
    """By name, the first bytes of every chunk before the image data."""
    offset, chunks = len(_PNG_SIGNATURE), {}
    while offset + 8 <= len(data):
        kind = data[offset + 4 : offset + 8]
        if kind == b"IDAT":
            break
        chunks[kind] = data[offset + 8 : offset + 12]
        offset += 12 + _big(data, offset, 4)
    return chunks


def _webp(data: bytes) -> ImageHeader:
    if len(data) < 30:
        raise BrokenHeader
    kind = data[12:16]
    if kind == b"VP8 ":
        return ImageHeader("WEBP", _little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF)
    if kind == b"VP8L":
        bits = _little(data, 21, 4)
        return ImageHeader("WEBP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X":
        animated = bool(data[20] & _VP8X_ANIMATION)
        return ImageHeader("WEBP", _little(data, 24, 3) + 1, _little(data, 27, 3) + 1, animated=animated)
    raise BrokenHeader


def _big(data: bytes, offset: int, length: int) -> int:
    return int.from_bytes(data[offset : offset + length], "big")


def _little(data: bytes, offset: int, length: int) -> int:
    return int.from_bytes(data[offset : offset + length], "little")
