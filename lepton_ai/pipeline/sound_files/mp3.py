"""MP3 files: counts the frames, and puts the count in front of those that declare none or a wrong one.

Without a count mpg123 guesses the length from the first frames, and of a variable bit rate may lose most of the sound.
Sources: ISO/IEC 11172-3 and 13818-3; G. Bouvigne's and the LAME project's descriptions of the Xing and LAME tags.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from lepton_ai.pipeline.sound_files.part import BrokenHeader, SoundPart, big

_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_KBIT_S = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG-1 layer III
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG-2 and 2.5 layer III
}
_HAS_FRAMES, _HAS_BYTES, _HAS_TOC, _HAS_QUALITY = 1, 2, 4, 8
_TAG_LENGTHS = ((_HAS_FRAMES, 4), (_HAS_BYTES, 4), (_HAS_TOC, 100), (_HAS_QUALITY, 4))
_LAME_BYTES, _LAME_DELAY = 36, 21
"""Length of the tag behind Xing's, and where in it 12 bits of delay and 12 of padding lie."""
_DECODER_DELAY = 529
"""Samples that every decoder is late; mpg123 leaves them out behind a tag, and only there."""
_LARGEST_FRAME_BYTES = 1441
_SURE_FRAMES = 3
_FRAUNHOFER_TAG = 36
"""Where in its frame a VBRI tag lies."""


class _Frame(NamedTuple):
    rate_hz: int
    channels: int
    size_bytes: int
    samples: int
    tag: int
    """Where in the frame a Xing tag would lie."""


class _Counted(NamedTuple):
    content: bytes
    frames: int
    """How many hold sound."""
    is_as_declared: bool = False
    lacks_frames: bool = False
    """Whether more were declared."""
    left_out: int = 0


class _Count(NamedTuple):
    """What a Xing tag declares; None what it does not."""

    frames: int | None
    size_bytes: int | None


def is_sync(data: bytes, offset: int) -> bool:
    """Whether a layer III frame may begin here: 11 bits set, then a known version, layer, bit rate and rate."""
    head = big(data, offset, 4)
    version, layer, bit_rate, rate = head >> 19 & 3, head >> 17 & 3, head >> 12 & 15, head >> 10 & 3
    return head >> 21 == 0x7FF and version != 1 and layer == 1 and bit_rate not in (0, 15) and rate != 3


def first_whole_frame(data: bytes, start: int) -> int | None:
    """Where the frames begin when the first one lacks its head, as in a piece of a stream; None when there are none.

    Two more frames of the same rate must follow, so that nothing else is taken for a sound.
    """
    for offset in range(start + 1, min(start + _LARGEST_FRAME_BYTES, len(data))):
        following, rates_hz = offset, list[int]()
        while len(rates_hz) < _SURE_FRAMES and is_sync(data, following):
            frame = _frame(data, following)
            following, rates_hz = following + frame.size_bytes, [*rates_hz, frame.rate_hz]
        if len(rates_hz) == _SURE_FRAMES and len(set(rates_hz)) == 1:
            return offset
    return None


def read(data: bytes, start: int) -> SoundPart:
    """The sound that begins there, up to the next one's tag or to what is no frame. Raises BrokenHeader."""
    first = frame = _frame(data, start)
    offset, count, is_cut = start, 0, False
    while is_sync(data, offset):
        frame = _frame(data, offset)
        if count and (frame.rate_hz != first.rate_hz or _is_tag(data, offset, frame)):
            break
        is_cut = offset + frame.size_bytes > len(data)
        if is_cut:
            break
        offset, count = offset + frame.size_bytes, count + 1
    is_cut = is_cut or (offset + 4 > len(data) and data.startswith(b"\xff", offset))
    if count == 0:
        raise BrokenHeader
    counted = _counted(data[start:offset], first, count)
    return SoundPart(
        "MP3",
        first.rate_hz,
        first.channels,
        counted.frames * first.samples,
        counted.content,
        end=len(data) if is_cut else offset,
        ending="cut" if is_cut or counted.lacks_frames else "whole",
        says_where_it_ends=counted.is_as_declared,
        left_out=counted.left_out,
    )


def _frame(data: bytes, offset: int) -> _Frame:
    head = big(data, offset, 4)
    version, is_mono = head >> 19 & 3, head >> 6 & 3 == 3
    rate_hz = _RATES_HZ[version][head >> 10 & 3]
    bits_s = _KBIT_S[version == 3][(head >> 12 & 15) - 1] * 1000
    samples = 1152 if version == 3 else 576
    side_bytes = (17 if is_mono else 32) if version == 3 else (9 if is_mono else 17)
    size_bytes = samples // 8 * bits_s // rate_hz + (head >> 9 & 1)
    return _Frame(rate_hz, 1 if is_mono else 2, size_bytes, samples, 4 + side_bytes)


def _is_tag(data: bytes, offset: int, frame: _Frame) -> bool:
    """Whether the frame holds no sound but says how much follows."""
    is_vbri = data.startswith(b"VBRI", offset + _FRAUNHOFER_TAG)
    return is_vbri or data.startswith((b"Xing", b"Info"), offset + frame.tag)


def _counted(data: bytes, first: _Frame, count: int) -> _Counted:
    """The frames with a true count in front."""
    declared = _Count(None, None)
    if _is_tag(data, 0, first):
        count, declared = count - 1, _declared(data, first)
    if declared.frames is None:
        sound = data if not _is_tag(data, 0, first) else data[first.size_bytes :]
        return _Counted(_tag_frame(data, first, count) + sound, count, left_out=_DECODER_DELAY)
    # some programs count the tag's own frame too; then the bytes are all there
    lacks_frames = declared.frames > count and (declared.size_bytes is None or declared.size_bytes > len(data))
    if abs(declared.frames - count) <= 1 and not lacks_frames:
        return _Counted(data, count, is_as_declared=True)
    return _Counted(_recounted(data, first, count), count, lacks_frames=lacks_frames)


def _declared(data: bytes, first: _Frame) -> _Count:
    flags = big(data, first.tag + 4, 4)
    is_xing = not data.startswith(b"VBRI", _FRAUNHOFER_TAG) and first.tag + 16 <= first.size_bytes
    if not is_xing or not flags & _HAS_FRAMES:
        return _Count(None, None)
    return _Count(big(data, first.tag + 8, 4), big(data, first.tag + 12, 4) if flags & _HAS_BYTES else None)


def _recounted(data: bytes, first: _Frame, count: int) -> bytes:
    """With the Xing tag's count corrected and nothing cut off for padding at the end."""
    tag = bytearray(data[: first.size_bytes])
    flags = big(data, first.tag + 4, 4)
    struct.pack_into(">I", tag, first.tag + 8, count)
    if flags & _HAS_BYTES:
        struct.pack_into(">I", tag, first.tag + 12, len(data))
    lame = first.tag + 8 + sum(length for flag, length in _TAG_LENGTHS if flags & flag)
    if lame + _LAME_BYTES <= len(tag):
        tag[lame + _LAME_DELAY + 1] &= 0xF0
        tag[lame + _LAME_DELAY + 2] = 0
    return bytes(tag) + data[first.size_bytes :]


def _tag_frame(data: bytes, first: _Frame, count: int) -> bytes:
    """A frame that holds nothing but a Xing tag."""
    head = big(data, 0, 4) & ~(0xF << 12 | 1 << 9) | 1 << 16  # bit rate, padding; without a checksum
    for bit_rate in range(1, 15):
        size_bytes = _frame((head | bit_rate << 12).to_bytes(4, "big"), 0).size_bytes
        if size_bytes >= first.tag + 12:
            break
    frame = bytearray(size_bytes)
    struct.pack_into(">I", frame, 0, head | bit_rate << 12)
    struct.pack_into(">4sII", frame, first.tag, b"Xing", _HAS_FRAMES, count)
    return bytes(frame)
