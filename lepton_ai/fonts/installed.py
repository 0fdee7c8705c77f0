"""The fonts of this machine, those that read best first."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from lepton_ai.fonts.font_file import Face, read_faces

_ENDINGS = (".ttf", ".ttc", ".otf", ".otc")
_PREFERRED = (
    "DejaVu Sans", "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "PingFang SC",
    "Hiragino Sans GB", "Heiti SC", "Microsoft YaHei", "SimHei", "SimSun", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei",
    "Noto Sans CJK JP", "Noto Sans CJK TC", "Noto Sans CJK KR", "Noto Serif CJK SC", "Droid Sans Fallback",
    "AR PL UMing CN", "Malgun Gothic", "Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari",
    "Noto Sans Thai", "Arial Unicode MS",
)  # fmt: skip
_PLAIN_STYLES = ("Regular", "Book", "Normal", "Medium", "Roman")
_NO_LETTERS = ("Emoji", "LastResort", "Last Resort", "Symbol", "Icons", "Fallback Outline")
"""In names of families that have pictures, or boxes, in place of letters."""


@cache
def installed_faces() -> tuple[Face, ...]:
    """Every face of every font file in this machine's usual folders and in matplotlib, in the order of preference."""
    faces = [face for path in sorted(_files()) for face in read_faces(path) if face.family]
    return tuple(sorted((face for face in faces if not any(word in face.family for word in _NO_LETTERS)), key=_rank))


def _rank(face: Face) -> tuple[bool, int, str]:
    preferred = _PREFERRED.index(face.family) if face.family in _PREFERRED else len(_PREFERRED)
    return face.style not in _PLAIN_STYLES, preferred, face.family


def _files() -> Iterator[Path]:
    for folder in dict.fromkeys(_folders()):
        for root, _, names in os.walk(folder):
            yield from (Path(root, name) for name in names if name.lower().endswith(_ENDINGS))


def _folders() -> Iterator[Path]:
    """Where operating systems keep fonts, and where matplotlib has its own."""
    home, environ = Path.home(), os.environ
    if sys.platform == "darwin":
        yield from (Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts")
    elif sys.platform == "win32":
        yield Path(environ.get("WINDIR", "C:/Windows"), "Fonts")
        yield Path(environ.get("LOCALAPPDATA", home / "AppData/Local"), "Microsoft/Windows/Fonts")
    else:
        shared = environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
        for data in (environ.get("XDG_DATA_HOME") or home / ".local/share", *shared.split(":")):
            yield Path(data, "fonts")
        yield home / ".fonts"
    matplotlib = find_spec("matplotlib")
    if matplotlib and matplotlib.origin:
        yield Path(matplotlib.origin).parent / "mpl-data/fonts/ttf"
