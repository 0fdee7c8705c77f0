"""Functions of instant vectors and scalars: number by number, dates, and what has no argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from services.health.promql.values import Floats, Scalar, Vector

_DAY_S = 86_400
_THURSDAY = 4
"""The day of the week of the first of January 1970, where Sunday is 0."""


def _moment(seconds: Floats, unit: str) -> np.ndarray[tuple[int, ...], np.dtype[np.datetime64]]:
    whole = np.where(np.isfinite(seconds), np.trunc(seconds), 0).astype(np.int64)
    return whole.astype("datetime64[s]").astype(f"datetime64[{unit}]")


def _since(seconds: Floats, part: str, whole: str) -> Floats:
    """Parts since the whole began that a moment lies in."""
    parts = _moment(seconds, part) - _moment(seconds, whole).astype(f"datetime64[{part}]")
    return np.asarray(parts.astype(np.float64))


def _days_in_month(seconds: Floats) -> Floats:
    month = _moment(seconds, "M")
    days = (month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")
    return np.asarray(days.astype(np.float64))


DATES: Mapping[str, Callable[[Floats], Floats]] = {
    "year": lambda seconds: _moment(seconds, "Y").astype(np.float64) + 1970,
    "month": lambda seconds: _since(seconds, "M", "Y") + 1,
    "day_of_month": lambda seconds: _since(seconds, "D", "M") + 1,
    "day_of_year": lambda seconds: _since(seconds, "D", "Y") + 1,
    "day_of_week": lambda seconds: (np.floor(np.trunc(seconds) / _DAY_S) + _THURSDAY) % 7,
    "days_in_month": _days_in_month,
    "hour": lambda seconds: _since(seconds, "h", "D"),
    "minute": lambda seconds: _since(seconds, "m", "h"),
}
"""Function → of seconds since 1970, UTC."""

BY_NUMBER: Mapping[str, Callable[[Floats], Floats]] = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "deg": lambda values: values * 180 / np.pi,
    "exp": np.exp,
    "floor": np.floor,
    "ln": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "rad": lambda values: values * np.pi / 180,
    "sgn": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
}
"""Function → of each number."""


def _clamp(vector: Vector, low: Scalar, high: Scalar) -> Vector:
    values = np.maximum(low.values, np.minimum(high.values, vector.values))
    return Vector(vector.labels, values, vector.present & ~(high.values < low.values))


def _limit(vector: Vector, bound: Scalar, *, function: np.ufunc) -> Vector:
    return Vector(vector.labels, function(bound.values, vector.values), vector.present)


def _round(vector: Vector, nearest: Scalar | None = None) -> Vector:
    """Ties go up; 1/nearest loses less than nearest does."""
    parts = np.ones(1) if nearest is None else 1.0 / nearest.values
    return Vector(vector.labels, np.floor(vector.values * parts + 0.5) / parts, vector.present)


WITH_SCALARS: Mapping[str, Callable[..., Vector]] = {
    "clamp": _clamp,
    "clamp_max": partial(_limit, function=np.minimum),
    "clamp_min": partial(_limit, function=np.maximum),
    "round": _round,
}
"""Function → of a vector and scalars."""


def scalar_of(vector: Vector) -> Scalar:
    """The only number of a vector at each step, NaN where there is none or several."""
    alone = np.count_nonzero(vector.present, axis=0) == 1
    return Scalar(np.where(alone, np.where(vector.present, vector.values, 0.0).sum(axis=0), np.nan))


def sort(vector: Vector, *, descending: bool = False) -> Vector:
    """By value where there is one step, NaN last; a range has no order of its own."""
    if vector.values.shape[1] != 1:
        return vector
    values = vector.values[:, 0]
    key = -values if descending else values
    return vector.chosen(np.lexsort((key, np.isnan(values))))
