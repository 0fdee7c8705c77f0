"""Reads format, rate, channels and length of a WAV, FLAC, Ogg or MP3 file, so that limits hold before it is decoded.

It also finds files that end too early, which libsndfile would decode as shorter sounds without a word. Sources:
Microsoft's RIFF/WAVE specification, RFC 9639 (FLAC), RFC 3533, RFC 7845 and the Vorbis I specification (Ogg), ISO/IEC
11172-3 and 13818-3 (MP3), id3.org's ID3v2.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Format = Literal["WAV", "FLAC", "OGG", "MP3"]

_WAVE_LINEAR = frozenset({0x0001, 0x0003, 0x0006, 0x0007, 0xFFFE})
"""PCM, IEEE float, A-law, µ-law, extensible: formats in which a block holds one sample of every channel."""
_WAVE_UNKNOWN_BYTES = 0x7FFFF000
"""Programs that write to a pipe declare this much or more, not knowing the length."""
_OGG_END_OF_STREAM = 0x04
_OPUS_GRANULES_HZ = 48_000
_MP3_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_MP3_KBIT_S = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG-1 layer III
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG-2 and 2.5 layer III
}
_MP3_TRAILERS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"\0")


class UnknownFormat(ValueError):
    """Not a WAV, FLAC, Ogg (Vorbis, Opus) or MP3 file."""


class UnknownLength(ValueError):
    """A FLAC that was written to a pipe and declares no length, so that no limit could be checked."""


class BrokenHeader(ValueError):
    """One of the formats, but a part is missing or makes no sense."""


@dataclass(frozen=True)
class SoundHeader:
    """What an encoded sound says about itself, before decoding."""

    format: Format
    rate_hz: int
    channels: int
    frames: int | None
    """Samples of each channel; None for compressed WAV, whose length libsndfile works out."""


def read_header(data: bytes) -> SoundHeader:
    """What an encoded sound declares. Raises UnknownFormat, UnknownLength, or BrokenHeader, also for an early end."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return _wav(data)
    if data[:4] == b"fLaC":
        return _flac(data)
    if data[:4] == b"OggS":
        return _ogg(data)
    if data[:3] == b"ID3" or _is_mp3_sync(data, 0):
        return _mp3(data)
    raise UnknownFormat


def _wav(data: bytes) -> SoundHeader:
    offset, layout = 12, b""
    while offset + 8 <= len(data):
        name, size_bytes = data[offset : offset + 4], _little(data, offset + 4, 4)
        offset += 8
        if name == b"fmt ":
            layout = data[offset : offset + size_bytes]
        if name == b"data":
            return _wav_sound(layout, size_bytes, available_bytes=len(data) - offset)
        offset += size_bytes + size_bytes % 2
    raise BrokenHeader


def _wav_sound(layout: bytes, size_bytes: int, *, available_bytes: int) -> SoundHeader:
    if len(layout) < 16:
        raise BrokenHeader
    if size_bytes >= _WAVE_UNKNOWN_BYTES:
        size_bytes = available_bytes
    block_bytes = _little(layout, 12, 2)
    if block_bytes == 0 or size_bytes > available_bytes:
        raise BrokenHeader
    frames = size_bytes // block_bytes if _little(layout, 0, 2) in _WAVE_LINEAR else None
    return SoundHeader("WAV", _little(layout, 4, 4), _little(layout, 2, 2), frames)


def _flac(data: bytes) -> SoundHeader:
    if len(data) < 42 or data[4] & 0x7F != 0:
        raise BrokenHeader
    packed = _big(data, 18, 8)  # 20 bits of rate, 3 of channels − 1, 5 of depth − 1, 36 of length
    frames = packed & (1 << 36) - 1
    if frames == 0:
        raise UnknownLength
    return SoundHeader("FLAC", packed >> 44, (packed >> 41 & 7) + 1, frames)


def _ogg(data: bytes) -> SoundHeader:
    offset, serial, granules, ended = 0, data[14:18], 0, False
    while offset < len(data):
        table = data[offset + 27 : offset + 27 + _little(data, offset + 26, 1)]
        if data[offset : offset + 4] != b"OggS" or data[offset + 14 : offset + 18] != serial:
            raise BrokenHeader  # damaged, or more than one stream
        granule = int.from_bytes(data[offset + 6 : offset + 14], "little", signed=True)
        granules, ended = max(granules, granule), bool(data[offset + 5] & _OGG_END_OF_STREAM)
        offset += 27 + len(table) + sum(table)
    if not ended or offset > len(data):
        raise BrokenHeader
    return _ogg_sound(data[27 + data[26] :], granules)


def _ogg_sound(packet: bytes, granules: int) -> SoundHeader:
    if packet.startswith(b"\x01vorbis") and len(packet) >= 16:
        return SoundHeader("OGG", _little(packet, 12, 4), packet[11], granules)
    if packet.startswith(b"OpusHead") and len(packet) >= 16:
        return SoundHeader("OGG", _OPUS_GRANULES_HZ, packet[9], granules)
    raise UnknownFormat


def _mp3(data: bytes) -> SoundHeader:
    offset = _after_id3(data)
    if not _is_mp3_sync(data, offset):
        raise BrokenHeader if data[:3] == b"ID3" else UnknownFormat
    rate_hz, channels, _, _ = _mp3_frame(data, offset)
    samples = 0
    while _is_mp3_sync(data, offset):
        frame_rate_hz, _, size_bytes, frame_samples = _mp3_frame(data, offset)
        if frame_rate_hz != rate_hz:
            raise BrokenHeader
        offset, samples = offset + size_bytes, samples + frame_samples
    if offset > len(data) or (offset < len(data) and not data.startswith(_MP3_TRAILERS, offset)):
        raise BrokenHeader
    return SoundHeader("MP3", rate_hz, channels, samples)


def _after_id3(data: bytes) -> int:
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size_bytes = 0
    for byte in data[6:10]:
        size_bytes = size_bytes << 7 | byte & 0x7F
    return 10 + size_bytes + (10 if data[5] & 0x10 else 0)


def _is_mp3_sync(data: bytes, offset: int) -> bool:
    """Whether a layer III frame may begin here: 11 bits set, then a known version, layer, bit rate and rate."""
    head = _big(data, offset, 4)
    version, layer, bit_rate, rate = head >> 19 & 3, head >> 17 & 3, head >> 12 & 15, head >> 10 & 3
    return head >> 21 == 0x7FF and version != 1 and layer == 1 and bit_rate not in (0, 15) and rate != 3


def _mp3_frame(data: bytes, offset: int) -> tuple[int, int, int, int]:
    """Rate, channels, size in bytes and samples of the frame that begins here."""
    head = _big(data, offset, 4)
    version = head >> 19 & 3
    rate_hz = _MP3_RATES_HZ[version][head >> 10 & 3]
    bits_s = _MP3_KBIT_S[version == 3][(head >> 12 & 15) - 1] * 1000
    samples = 1152 if version == 3 else 576
    return rate_hz, 1 if head >> 6 & 3 == 3 else 2, samples // 8 * bits_s // rate_hz + (head >> 9 & 1), samples


def _big(data: bytes, offset: int, length: int) -> int:
    return int.from_bytes(data[offset : offset + length], "big")


def _little(data: bytes, offset: int, length: int) -> int:
    return int.from_bytes(data[offset : offset + length], "little")
