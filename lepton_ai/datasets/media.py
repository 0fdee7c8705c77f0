"""Recognises image and sound files by their endings and by their first bytes."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

IMAGE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
SOUND_ENDINGS = frozenset({".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".opus", ".au"})
ENDINGS = {"image": IMAGE_ENDINGS, "sound": SOUND_ENDINGS}

_IMAGE_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"P5", b"P6")
_SOUND_STARTS = (b"fLaC", b"OggS", b"ID3", b".snd")
# frames of MPEG-1, 2 and 2.5, layer III, without and with a checksum
_MP3_STARTS = (b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2", b"\xff\xe3", b"\xff\xe2")


def kind_of_path(path: str) -> Literal["image", "sound"] | None:
    """What the ending of a path or URL says."""
    if len(path) > 4096 or "\n" in path:
        return None
    ending = PurePosixPath(path.replace("\\", "/").split("?")[0]).suffix.lower()
    if ending in IMAGE_ENDINGS:
        return "image"
    return "sound" if ending in SOUND_ENDINGS else None


def kind_of_bytes(data: bytes) -> Literal["image", "sound"] | None:
    """What the first bytes of a file say."""
    container = data[8:12]
    if data[:4] in (b"RIFF", b"RF64", b"BW64", b"FORM"):
        if container == b"WEBP":
            return "image"
        return "sound" if container in (b"WAVE", b"AIFF", b"AIFC") else None
    if data.startswith(_IMAGE_STARTS):
        return "image"
    return "sound" if data.startswith(_SOUND_STARTS + _MP3_STARTS) else None
