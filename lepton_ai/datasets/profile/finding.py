"""What a check found: how serious, in which rows, on what evidence, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Severity = Literal["high", "medium", "low"]
"""high: results are wrong or training fails; medium: worth a look before training; low: good to know."""
SEVERITIES: tuple[str, ...] = get_args(Severity)

CheckName = Literal[
    "broken",
    "doubtful",
    "overlap",
    "leak",
    "conflict",
    "duplicate",
    "near-duplicate",
    "missing",
    "label",
    "imbalance",
    "outlier",
    "constant",
]

MAX_LISTED_ROWS = 1000
"""A finding counts all rows and lists this many of them."""


@dataclass(frozen=True)
class Finding:
    """One thing about the data that deserves a look."""

    check: CheckName
    severity: Severity
    message: str
    advice: str
    column: str = ""
    count: int = 0
    """How many rows it is about; 0 when it is about the whole column."""
    rows: tuple[int, ...] = ()
    """Some of these rows, the most telling first; numbers as `data.row` takes them."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """The figures behind it, as plain JSON data. "groups" and "values" go with `rows`."""


def listed(rows: Iterable[Any]) -> tuple[int, ...]:
    """Row numbers as a finding lists them."""
    numbers: list[int] = []
    for row in rows:
        if len(numbers) == MAX_LISTED_ROWS:
            break
        numbers.append(int(row))
    return tuple(numbers)


def percent(part: float, whole: float) -> str:
    """A share for people: 12 %, 0.4 %, < 0.1 %."""
    share = 100 * part / max(whole, 1)
    if 0 < share < 0.1:
        return "< 0.1 %"
    return f"{share:.0f} %" if share >= 10 or share == int(share) else f"{share:.1f} %"


def of_rows(count: int) -> str:
    """One row, two thousand rows: how messages count them."""
    return "1 row" if count == 1 else f"{count:,} rows"
