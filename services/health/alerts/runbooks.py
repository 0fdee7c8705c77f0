"""What to do about an alert: the section of the runbooks that it names, so that nobody has to find a file at night."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_PAGE = "docs/runbooks.md"
_FILES: Mapping[str, str] = {"en": "runbooks.md", "zh": "runbooks.zh.md"}
_FOLDERS = (Path(__file__).parent / "docs", Path(__file__).parents[3] / "docs")
"""Where the files are when Lepton is installed, and in its source."""
_SECTION = re.compile(r"^## (\w+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")


def runbook(reference: str, language: str = "") -> str:
    """The section that "docs/runbooks.md#modeldown" names, in Markdown without links; in English where it must be.

    Empty where there is no such section, as for rules that somebody has added.
    """
    page, _, name = reference.partition("#")
    if page != _PAGE:
        return ""
    return _sections(language).get(name) or _sections("en").get(name, "")


@cache
def _sections(language: str) -> Mapping[str, str]:
    """Name in small letters → text."""
    file = _FILES.get(language)
    found = next((folder / file for folder in _FOLDERS if (folder / file).is_file()), None) if file else None
    if found is None:
        return {}
    text = found.read_text(encoding="utf-8")
    return {name.lower(): _LINK.sub(r"\1", body).strip() for name, body in _SECTION.findall(text)}
