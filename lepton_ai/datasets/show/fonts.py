"""Fonts for labels in any script; a character that no font has is written as its code, never as an empty box."""

from __future__ import annotations

import unicodedata
from functools import cache

_FIRST = "DejaVu Sans"  # comes with matplotlib
_OTHERS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "PingFang SC", "Hiragino Sans GB",
    "Heiti SC", "Microsoft YaHei", "SimHei", "SimSun", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Noto Sans CJK JP",
    "Noto Sans CJK TC", "Noto Sans CJK KR", "Noto Serif CJK SC", "Droid Sans Fallback", "AR PL UMing CN",
    "Malgun Gothic", "Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai",
    "Arial Unicode MS", "Unifont",
)  # fmt: skip


@cache
def families() -> tuple[str, ...]:
    """The installed ones of the families that are looked through for a character, in order."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return (_FIRST, *(name for name in _OTHERS if name in installed))


def legible(text: str) -> str:
    """The text in one line, with codes such as \\u4e2d for what none of the families can draw."""
    plain = " ".join(text.split())
    return "".join(each if _can_draw(each) else _code(each) for each in plain)


def shortened(text: str, most: int) -> str:
    """At most so many narrow characters; wide ones, as Chinese has them, count twice."""
    widths = [2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text]
    if sum(widths) <= most:
        return text
    kept, width = "", 1
    for each, wide in zip(text, widths, strict=True):
        width += wide
        if width > most:
            break
        kept += each
    return kept + "…"


def _code(character: str) -> str:
    return character.encode("unicode_escape").decode()


@cache
def _can_draw(character: str) -> bool:
    code = ord(character)
    return unicodedata.category(character)[0] != "C" and any(code in _codes(name) for name in families())


@cache
def _codes(family: str) -> frozenset[int]:
    from matplotlib import font_manager

    return frozenset(font_manager.get_font(font_manager.findfont(family)).get_charmap())
