"""Reads times as people write them: ISO 8601, slashes, Chinese; as seconds since 1970 for comparing."""

from __future__ import annotations

import datetime
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]

_DATE = re.compile(r"^\s*(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*日?(?:[T\s]\s*(.*))?\s*$")
_ZONE = r"(Z|[+-]\d{2}:?\d{2})?"
_CLOCK = re.compile(r"^(\d{1,2})\s*[:：时]\s*(\d{1,2})\s*(?:[:：分]\s*(\d{1,2})(?:\.\d+)?)?\s*[秒分]?\s*" + _ZONE + "$")


def parse_time(text: object) -> datetime.datetime | None:
    """The time in a text, without a zone taken as UTC; None when it is none."""
    if not isinstance(text, str) or not 8 <= len(text) <= 40:
        return None
    matched = _DATE.match(text)
    if not matched:
        return None
    try:
        year, month, day = (int(part) for part in matched.groups()[:3])
        return _with_clock(datetime.datetime(year, month, day, tzinfo=datetime.UTC), matched.group(4))
    except ValueError:
        return None


def seconds_since_1970(array: pa.Array | pa.ChunkedArray) -> Floats:
    """Times as float64 seconds, NaN where there is none. Numbers are taken as they are."""
    kind = array.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        micros = array.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False).cast(pa.int64())
        return seconds_since_1970(micros) / 1e6
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        array = array.cast(pa.float64(), safe=False)
        chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
        return np.concatenate([np.empty(0), *(chunk.to_numpy(zero_copy_only=False) for chunk in chunks)])
    return np.array([_seconds(value) for value in array.to_pylist()], dtype=np.float64)


def _seconds(value: Any) -> float:
    time = parse_time(value)
    return float("nan") if time is None else time.timestamp()


def _with_clock(day: datetime.datetime, clock: str | None) -> datetime.datetime | None:
    if not clock or not clock.strip():
        return day
    matched = _CLOCK.match(clock.strip())
    if not matched:
        return None
    hour, minute, second, zone = matched.groups()
    time = day.replace(hour=int(hour), minute=int(minute), second=int(second or 0))
    if not zone or zone == "Z":
        return time
    sign = -1 if zone[0] == "-" else 1
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    return time - sign * datetime.timedelta(hours=hours, minutes=minutes)
