"""Small encoded sounds for tests, made with soundfile."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile


def tone(seconds: float = 0.5, *, rate_hz: int = 16_000, hz: float = 440.0, level: float = 0.5) -> npt.NDArray[Any]:
    """A sine."""
    seconds_since_start = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.asarray(level * np.sin(2 * np.pi * hz * seconds_since_start), dtype=np.float32)


def encoded(samples: npt.NDArray[Any], file_format: str = "WAV", *, rate_hz: int = 16_000, subtype: str = "") -> bytes:
    """A file of samples (frames) or (frames, channels)."""
    buffer = BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=file_format, subtype=subtype or None)
    return buffer.getvalue()


def wav_header(*, rate_hz: int = 16_000, channels: int = 1, data_bytes: int = 0, content: bytes = b"") -> bytes:
    """A 16-bit WAV that declares a length and holds `content`."""
    layout = struct.pack("<HHIIHH", 1, channels, rate_hz, rate_hz * channels * 2, channels * 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", data_bytes) + content
    return b"RIFF" + struct.pack("<I", len(body)) + body


def chunk(name: bytes, content: bytes, *, padded: bool = True) -> bytes:
    """A chunk of a WAV file."""
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2 if padded else 0)


def with_lengths(wav: bytes, *, riff: int | None = None, data: int | None = None) -> bytes:
    """A WAV file with other declared lengths than its own."""
    changed = bytearray(wav)
    if riff is not None:
        struct.pack_into("<I", changed, 4, riff)
    if data is not None:
        struct.pack_into("<I", changed, wav.index(b"data") + 4, data)
    return bytes(changed)


def mp3_frames(mp3: bytes) -> list[bytes]:
    """The frames of an MP3 of MPEG-2 at 16,000 samples a second, as `encoded` makes them; the first holds a tag."""
    kbit_s = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    frames, offset = [], 0
    while offset < len(mp3):
        size_bytes = 72 * kbit_s[mp3[offset + 2] >> 4] * 1000 // 16_000 + (mp3[offset + 2] >> 1 & 1)
        frames.append(mp3[offset : offset + size_bytes])
        offset += size_bytes
    return frames


def flac_header(*, rate_hz: int = 16_000, channels: int = 1, frames: int = 0) -> bytes:
    """A FLAC that declares a length and holds nothing."""
    packed = rate_hz << 44 | (channels - 1) << 41 | 15 << 36 | frames
    return b"fLaC\x80\x00\x00\x22" + struct.pack(">HH", 4096, 4096) + bytes(6) + packed.to_bytes(8, "big") + bytes(16)
