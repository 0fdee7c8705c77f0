"""What encoded files are, by their first bytes."""

from __future__ import annotations

_TYPES = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png", ".png"),
    (0, b"\xff\xd8\xff", "image/jpeg", ".jpg"),
    (0, b"GIF8", "image/gif", ".gif"),
    (8, b"WEBP", "image/webp", ".webp"),
    (0, b"BM", "image/bmp", ".bmp"),
    (8, b"WAVE", "audio/wav", ".wav"),
    (0, b"fLaC", "audio/flac", ".flac"),
    (0, b"OggS", "audio/ogg", ".ogg"),
    (0, b"ID3", "audio/mpeg", ".mp3"),
)
_OTHER = ("application/octet-stream", ".bin")


def _known(data: bytes) -> tuple[str, str]:
    found = ((media, ending) for at, start, media, ending in _TYPES if data[at : at + len(start)] == start)
    return next(found, _OTHER)


def media_type_of(data: bytes) -> str:
    """Such as "image/png"."""
    return _known(data)[0]


def ending_of(data: bytes) -> str:
    """Such as ".png"."""
    return _known(data)[1]
