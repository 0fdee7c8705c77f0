"""Reads times as people write them: ISO 8601, slashes, Chinese, days first or months first; as seconds since 1970."""

from __future__ import annotations

import datetime
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline.reading import DateOrder

Floats = npt.NDArray[np.float64]

_DATE = re.compile(r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*日?(?:[T\s]\s*(.*))?")
_ORDERED_DATE = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})(?:[T\s,]\s*(.*))?")
_NAMED_DAY_FIRST = re.compile(r"(\d{1,2})[-\s./]*([A-Za-z]{3,9})\.?[-\s,/]*(\d{4}|\d{2})(?:[T\s,]\s*(.*))?")
_NAMED_MONTH_FIRST = re.compile(r"([A-Za-z]{3,9})\.?\s*(\d{1,2}),?\s+(\d{4})(?:[T\s,]\s*(.*))?")
_ZONE = r"(Z|[+-]\d{2}:?\d{2})?"
_CLOCK = re.compile(
    r"(\d{1,2})\s*[:：时]\s*(\d{1,2})\s*(?:[:：分]\s*(\d{1,2})(?:[.,](\d{1,9}))?)?\s*[秒分]?\s*([AaPp]\.?[Mm]\.?)?\s*"
    + _ZONE
)
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_PLACES = {"day": (2, 1, 0), "month": (2, 0, 1), "year": (0, 1, 2)}
"""Where year, month and day stand in a date that begins with one of them."""


def parse_time(text: object, order: DateOrder = "") -> datetime.datetime | None:
    """The time in a text, without a zone taken as UTC; None when it is none.

    Dates that do not begin with a year of four digits are read in the `order` of their column. Years of two digits are
    1969 to 2068, as in POSIX.
    """
    if not isinstance(text, str) or not 6 <= len(text) <= 40:
        return None
    text = text.strip()
    found = _numbered(text, order) or _named(text)
    if found is None:
        return None
    (year, month, day), clock = found
    try:
        return _with_clock(datetime.datetime(year, month, day, tzinfo=datetime.UTC), clock)
    except (ValueError, OverflowError):
        return None


def possible_orders(text: str) -> frozenset[DateOrder]:
    """The orders in which a text that needs one is a time; none when it needs none, or is no time."""
    if _ORDERED_DATE.fullmatch(text.strip()) is None:
        return frozenset()
    orders: tuple[DateOrder, ...] = ("day", "month", "year")
    return frozenset(order for order in orders if parse_time(text, order) is not None)


def has_short_year(text: str) -> bool:
    """Whether a date that needs an order has a year of two digits."""
    matched = _ORDERED_DATE.fullmatch(text.strip())
    return matched is not None and len(matched.group(4)) == 2


def seconds_since_1970(array: pa.Array | pa.ChunkedArray, order: DateOrder = "") -> Floats:
    """Times as float64 seconds, NaN where there is none. Numbers are taken as they are.

    `order` is that of a column of texts. Raises InvalidInput when it is undecided.
    """
    kind = array.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        micros = array.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False).cast(pa.int64())
        return seconds_since_1970(micros) / 1e6
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        array = array.cast(pa.float64(), safe=False)
        chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
        return np.concatenate([np.empty(0), *(chunk.to_numpy(zero_copy_only=False) for chunk in chunks)])
    if order == "undecided":
        raise InvalidInput(
            "Day and month of its dates cannot be told apart.",
            reason="DATES_UNDECIDED",
            fix="Say it: read_table(…, day_first=True) or False; or schema.with_readings(NAME=Reading(dates='day')).",
        )
    return np.array([_seconds(value, order) for value in array.to_pylist()], dtype=np.float64)


def _seconds(value: Any, order: DateOrder) -> float:
    time = parse_time(value, order)
    return float("nan") if time is None else time.timestamp()


def _numbered(text: str, order: DateOrder) -> tuple[tuple[int, int, int], str | None] | None:
    """Year, month and day of a date in digits, and what follows it."""
    if matched := _DATE.fullmatch(text):
        year, month, day, clock = matched.groups()
        return (int(year), int(month), int(day)), clock
    matched = _ORDERED_DATE.fullmatch(text) if order in _PLACES else None
    if matched is None:
        return None
    first, _, second, third, clock = matched.groups()
    parts = (first, second, third)
    year, month, day = (parts[place] for place in _PLACES[order])
    if len(day) > 2:  # of four digits: no date begins with its year then
        return None
    return (_full_year(year), int(month), int(day)), clock


def _named(text: str) -> tuple[tuple[int, int, int], str | None] | None:
    """The same of a date with an English month."""
    if matched := _NAMED_DAY_FIRST.fullmatch(text):
        day, name, year, clock = matched.groups()
    elif matched := _NAMED_MONTH_FIRST.fullmatch(text):
        name, day, year, clock = matched.groups()
    else:
        return None
    names = [month for month in _MONTHS if month == name.lower() or name.lower() in (month[:3], month[:4])]
    return ((_full_year(year), _MONTHS.index(names[0]) + 1, int(day)), clock) if names else None


def _full_year(year: str) -> int:
    return int(year) if len(year) > 2 else int(year) + (1900 if int(year) >= 69 else 2000)


def _with_clock(day: datetime.datetime, clock: str | None) -> datetime.datetime | None:
    if not clock or not clock.strip():
        return day
    matched = _CLOCK.fullmatch(clock.strip())
    if not matched:
        return None
    hour, minute, second, fraction, half, zone = matched.groups()
    micros = int((fraction or "0").ljust(6, "0")[:6])
    time = day.replace(hour=_hour(int(hour), half), minute=int(minute), second=int(second or 0), microsecond=micros)
    if not zone or zone == "Z":
        return time
    sign = -1 if zone[0] == "-" else 1
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    return time - sign * datetime.timedelta(hours=hours, minutes=minutes)


def _hour(hour: int, half: str | None) -> int:
    """Of the day, when it is one of its half. Raises ValueError for 13 pm."""
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError("no hour of half a day")
    return hour % 12 + (12 if half[0] in "Pp" else 0)
