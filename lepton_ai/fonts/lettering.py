"""Chooses the font of a text, and writes what it lacks as codes."""

from __future__ import annotations

import logging
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from lepton_ai.fonts.font_file import Face
from lepton_ai.fonts.installed import installed_faces

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties
    from PIL import ImageFont

_log = logging.getLogger(__name__)
_REMEMBERED_TEXTS = 4096
_WIDE = "WF"
_DECIDE_NOTHING = ("So", "Z", "C")
_CHINESE = (
    "Chinese, Japanese and Korean",
    "fonts-noto-cjk (Debian, Ubuntu), google-noto-sans-cjk-fonts (Fedora), noto-fonts-cjk (Arch), "
    "font-noto-cjk (Alpine)",
)
_OTHERS = ("these scripts", "fonts-noto-core (Debian, Ubuntu), noto-fonts (Arch), font-noto-all (Alpine)")


def find_font(text: str, size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font of a text for Pillow. Draw `legible(text)` with it: what no font has is a code there."""
    from PIL import ImageFont

    face = _face(text)
    if face is None:
        return ImageFont.load_default(size_px)
    return ImageFont.truetype(face.path, size_px, face.index)


def font_properties(text: str) -> FontProperties:
    """The font of a text for matplotlib, as `fontproperties` of what draws it. Draw `legible(text)` with it."""
    from matplotlib.font_manager import FontPath, FontProperties

    face = _face(text)
    return FontProperties() if face is None else FontProperties(fname=FontPath(str(face.path), face.index))


def legible(text: str) -> str:
    """The text in one line, with codes such as \\u732b for what its font cannot draw."""
    plain = " ".join(text.split())
    face = _face(plain)
    lacking = [each for each in dict.fromkeys(plain) if not _has(face, each)]
    _advise(lacking)
    return "".join(_code(each) if each in lacking else each for each in plain)


def shortened(text: str, most: int) -> str:
    """At most so many narrow characters; wide ones, as Chinese has them, count twice."""
    widths = [2 if unicodedata.east_asian_width(each) in _WIDE else 1 for each in text]
    if sum(widths) <= most:
        return text
    kept, width = "", 1
    for each, wide in zip(text, widths, strict=True):
        width += wide
        if width > most:
            break
        kept += each
    return kept + "…"


@lru_cache(_REMEMBERED_TEXTS)
def _face(text: str) -> Face | None:
    """The first face that has all characters of a text, else the first that has most; None if there are no fonts.

    Pictures such as emoji decide nothing: hardly a font for letters has them.
    """
    wanted = {ord(each) for each in text if not unicodedata.category(each).startswith(_DECIDE_NOTHING)}
    best, had = None, -1
    for face in installed_faces():
        has = len(wanted & face.characters)
        if has > had:
            best, had = face, has
        if has == len(wanted):
            break
    return best


def _has(face: Face | None, character: str) -> bool:
    if unicodedata.category(character)[0] == "C":
        return False
    return character.isascii() if face is None else ord(character) in face.characters or character == " "


def _is_drawn_by_any(character: str) -> bool:
    return any(ord(character) in face.characters for face in installed_faces())


def _code(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _advise(lacking: list[str]) -> None:
    """Say once what to install for letters that no font here has."""
    letters = [each for each in lacking if unicodedata.category(each)[0] in "LM" and not _is_drawn_by_any(each)]
    wide = [each for each in letters if unicodedata.east_asian_width(each) in _WIDE]
    if wide:
        _advise_once(*_CHINESE, wide[0])
    elif letters:
        _advise_once(*_OTHERS, letters[0])


_advised: set[str] = set()


def _advise_once(scripts: str, packages: str, example: str) -> None:
    if scripts in _advised:
        return
    _advised.add(scripts)
    _log.warning(
        "No font on this machine can draw %s, so labels show codes such as %s. A font for %s is in the package %s.",
        example, _code(example), scripts, packages,
    )  # fmt: skip
