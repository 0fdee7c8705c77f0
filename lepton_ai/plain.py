"""Single values as data frames, databases and NumPy hand them over, as the plain Python values that they stand for.

pandas is not imported to know its values: whoever has none need not install it.
"""

from __future__ import annotations

import datetime
import decimal
import io
import math
import re
import uuid
from typing import Any

import numpy as np

Scalar = decimal.Decimal | datetime.date | datetime.time | datetime.timedelta | uuid.UUID
"""What databases hand over beside texts, bytes and numbers; a datetime is a date."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_PANDAS_MISSING = ("NAType", "NaTType")
_PANDAS_SPANS = ("Period", "Interval")
_LARGEST_EXACT = 1 << 53
"""From here on floats no longer tell all whole numbers apart."""
_LARGEST_WHOLE = 1 << 64


def is_missing(value: Any) -> bool:
    """Whether a value says that there is none: None, NaN, also as a Decimal, NaT, and what pandas calls NA."""
    if value is None:
        return True
    if isinstance(value, float | np.floating):
        return bool(value != value)
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    if isinstance(value, decimal.Decimal):
        return value.is_nan()
    return _is_of_pandas(value, _PANDAS_MISSING)


def python_scalar(value: np.generic) -> Any:
    """A NumPy scalar as Python's value; times and durations to the microsecond, of which Python has no finer ones."""
    if isinstance(value, np.datetime64) and np.datetime_data(value)[0] != "D":
        return value.astype("datetime64[us]").item()
    if isinstance(value, np.timedelta64):
        return value.astype("timedelta64[us]").item()
    return float(value) if isinstance(value, np.floating) else value.item()


def decimal_number(value: decimal.Decimal) -> float | int:
    """A Decimal as a float; as an int where it is a whole number, such as an id, that a float would round."""
    if _LARGEST_EXACT <= abs(value) < _LARGEST_WHOLE and value == value.to_integral_value():
        return int(value)
    return float(value)


def nearest_float(value: float | int) -> float:
    """A number as a float; infinity for a whole number that is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def plain_value(value: Any) -> Any:
    """A value as pipelines take it: times as ISO 8601 texts, durations as seconds, UUIDs and pandas' spans as texts.

    None when it is missing; NaN stays NaN, which an array may hold. What is not known is given back as it is.
    """
    if isinstance(value, np.generic) and not is_missing(value):
        value = python_scalar(value)
    if isinstance(value, float | np.floating):
        return value
    if is_missing(value):
        return None
    if isinstance(value, decimal.Decimal):
        return decimal_number(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, memoryview | bytearray):
        return bytes(value)
    return str(value) if isinstance(value, uuid.UUID) or _is_of_pandas(value, _PANDAS_SPANS) else value


def _is_of_pandas(value: Any, names: tuple[str, ...]) -> bool:
    kind = type(value)
    return kind.__name__ in names and kind.__module__.startswith("pandas")


def picture_file(value: Any) -> bytes | None:
    """A picture of Pillow as a file that holds the same pixels; None for everything else.

    Pillow is not imported to know its pictures.
    """
    if not any((base.__module__, base.__name__) == ("PIL.Image", "Image") for base in type(value).__mro__):
        return None
    file = io.BytesIO()
    picture = value if value.mode in _PNG_MODES else value.convert("RGB")
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def name_of(value: Any) -> str:
    """A function or an object in words that are the same in the next process: without its place in memory."""
    return _ADDRESS.sub("", str(value))
