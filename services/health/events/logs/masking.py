"""What differs from one record to the next, numbers and names, replaced by the sort of thing it is."""

from __future__ import annotations

import re

_MASKS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), mask)
    for pattern, mask in (
        (r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+", "<url>"),
        (r"(?<![\w'])'[^'\n]*'(?!\w)|\"[^\"\n]*\"|“[^”\n]*”|「[^」\n]*」|《[^》\n]*》", "<text>"),
        (r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b", "<id>"),
        (r"(?<![A-Za-z0-9_.:])\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\](?::\d{1,5})?", "<addr>"),
        (r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?(?![\w.])", "<addr>"),
        (r"(?<![\w.])[A-Za-z][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)*:\d{2,5}(?!\w)", "<addr>"),
        (r"(?<![\w.<])(?:~|\.{1,2})?(?:/[\w.@%+=~-]+)+/?", "<path>"),
        (r"\b0[xX][0-9a-fA-F]+\b", "<hex>"),
        (r"(?<![A-Za-z0-9_])(?=[a-fA-F]*\d)[0-9a-fA-F]{8,}(?![A-Za-z0-9_])", "<hex>"),
        (r"(?<![A-Za-z0-9_<])[-+]?\d+(?:[_,]\d{3})*(?:\.\d+)*(?:[eE][-+]?\d+)?", "<n>"),
    )
)
_MOST_CHARACTERS = 1000


def mask(message: str) -> str:
    """The first line of a message with <n>, <hex>, <id>, <addr>, <url>, <path> and <text> in place of what it names."""
    line = message.strip().partition("\n")[0][:_MOST_CHARACTERS]
    for pattern, replacement in _MASKS:
        line = pattern.sub(replacement, line)
    return line
