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


def flac_header(*, rate_hz: int = 16_000, channels: int = 1, frames: int = 0) -> bytes:
    """A FLAC that declares a length and holds nothing."""
    packed = rate_hz << 44 | (channels - 1) << 41 | 15 << 36 | frames
    return b"fLaC\x80\x00\x00\x22" + struct.pack(">HH", 4096, 4096) + bytes(6) + packed.to_bytes(8, "big") + bytes(16)
