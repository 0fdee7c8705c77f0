"""Vocabulary files, and how a text is split into their tokens."""

from __future__ import annotations

import re

from lepton_ai.pipeline.operation import Misfit

_MAX_TOKENS = 2_000_000
UNSPACED = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Han, kana and their extensions, for a regular expression: scripts written without spaces, split into characters."""
# One such character | a run of other word characters | one character that is neither word nor space.
_WORDS = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+|[^\w\s]")


def read_vocabulary(content: bytes, *, parameter: str = "vocabulary") -> dict[str, int]:
    """Ids by token: one token a line, UTF-8, counted from 0. Raises Misfit for duplicates, empty lines, not UTF-8."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Misfit(parameter, "the file is not UTF-8 text") from None
    # Only line feeds end a line: str.splitlines would also split at characters that may themselves be tokens.
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    if len(lines) > _MAX_TOKENS:
        raise Misfit(parameter, f"the file has {len(lines)} tokens, at most {_MAX_TOKENS} are allowed")
    ids: dict[str, int] = {}
    for number, token in enumerate(lines):
        if not token:
            raise Misfit(parameter, f"line {number + 1} of the file is empty")
        if token in ids:
            raise Misfit(parameter, f"lines {ids[token] + 1} and {number + 1} of the file hold the same token")
        ids[token] = number
    return ids


def split_words(text: str) -> list[str]:
    """Words, single punctuation marks, and single characters of Chinese and Japanese."""
    return _WORDS.findall(text)


def split_characters(text: str) -> list[str]:
    """Every character except white space."""
    return [character for character in text if not character.isspace()]
