"""Functions of range vectors: rates, what happened over time, trends. The formulas are those of Prometheus 3."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from services.health.promql.parsing import invalid
from services.health.promql.values import Floats, Integers
from services.health.promql.windows import Spans

_NEAR = 1.1
"""A window's edge within this many average distances from a sample is one that the next sample would have reached."""


def extrapolated(spans: Spans, *, counter: bool, per_second: bool) -> Floats:
    """Rise within each window, stretched to its edges; of a counter, which starts again from 0 when it falls."""
    first, growth = spans.at_first(), spans.at_last() - spans.at_first()
    if counter:
        growth = growth + spans.reduced(np.add, _lost(spans.values), skip=1)
    newest, oldest = spans.times_ms[spans.end - 1], spans.times_ms[spans.first]
    sampled = (newest - oldest) / 1000
    average = sampled / (spans.lengths - 1)
    before = (oldest - (spans.ends_ms - spans.range_ms)) / 1000
    after = (spans.ends_ms - newest) / 1000
    before = np.where(before >= average * _NEAR, average / 2, before)
    after = np.where(after >= average * _NEAR, average / 2, after)
    if counter:  # which was not below 0 before the window
        rising = (growth > 0) & (first >= 0)
        to_zero = sampled * np.divide(first, growth, out=np.full_like(first, np.inf), where=rising)
        before = np.minimum(before, to_zero)
    stretched = growth * ((sampled + before + after) / sampled / (spans.range_ms / 1000 if per_second else 1.0))
    return np.asarray(stretched, dtype=np.float64)


def _lost(values: Floats) -> Floats:
    """[samples]: what a counter had reached before it fell, at the sample after the fall, else 0."""
    lost = np.zeros_like(values)
    lost[1:] = np.where(values[1:] < values[:-1], values[:-1], 0.0)
    return lost


def instant(spans: Spans, *, counter: bool) -> Floats:
    """Difference of the last two samples; of a counter per second."""
    last, before = spans.at_last(), spans.values[spans.end - 2]
    if not counter:
        return np.asarray(last - before, dtype=np.float64)
    seconds = (spans.times_ms[spans.end - 1] - spans.times_ms[spans.end - 2]) / 1000
    return np.asarray(np.where(last < before, last, last - before) / seconds, dtype=np.float64)


def resets(spans: Spans) -> Floats:
    """How often it fell."""
    fell = np.zeros(len(spans.values), dtype=np.int64)
    fell[1:] = spans.values[1:] < spans.values[:-1]
    return _counted(spans, fell)


def changes(spans: Spans) -> Floats:
    """How often it was different from the sample before; NaN equals NaN."""
    new, old = spans.values[1:], spans.values[:-1]
    changed = np.zeros(len(spans.values), dtype=np.int64)
    changed[1:] = (new != old) & ~(np.isnan(new) & np.isnan(old))
    return _counted(spans, changed)


def _counted(spans: Spans, marks: Integers) -> Floats:
    """Marks in each window but for its first sample, which says something of the one before the window."""
    reached = np.cumsum(marks)
    return np.asarray(reached[spans.end - 1] - reached[spans.first], dtype=np.float64)


def mean(spans: Spans) -> Floats:
    """Arithmetic mean."""
    return spans.reduced(np.add, spans.values) / spans.lengths


def variance(spans: Spans) -> Floats:
    """Population variance."""
    return _spread_out(spans, _variance)


def _variance(part: Spans) -> Floats:
    samples, owners = part.spread()
    starts = part.starts()
    values = part.values[samples]
    means = np.add.reduceat(values, starts) / part.lengths
    return np.asarray(np.add.reduceat((values - means[owners]) ** 2, starts) / part.lengths, dtype=np.float64)


def quantile_of(spans: Spans, shares: Floats) -> Floats:
    """The quantile of each window; between two samples by weight, NaN counts as the smallest."""
    inside = _spread_out(spans, _sorted_pick, np.clip(np.nan_to_num(shares), 0.0, 1.0))
    return outside_of_unit(shares, inside)


def outside_of_unit(shares: Floats, inside: Floats) -> Floats:
    """Quantiles for shares below 0 and above 1 are -∞ and ∞, and NaN for NaN."""
    found = np.where(shares < 0, -np.inf, np.where(shares > 1, np.inf, inside))
    return np.where(np.isnan(shares), np.nan, found)


def _sorted_pick(part: Spans, shares: Floats) -> Floats:
    samples, owners = part.spread()
    values = part.values[samples]
    values = values[np.lexsort((values, ~np.isnan(values), owners))]
    rank = shares * (part.lengths - 1)
    low = np.floor(rank).astype(np.int64)
    high = np.minimum(part.lengths - 1, low + 1)
    weight = rank - low
    starts = part.starts()
    return np.asarray(values[starts + low] * (1 - weight) + values[starts + high] * weight, dtype=np.float64)


def slope(spans: Spans) -> Floats:
    """Of the straight line through each window by least squares, per second."""
    return _spread_out(spans, lambda part: _line(part, part.times_ms[part.first])[0])


def predicted(spans: Spans, seconds: Floats) -> Floats:
    """Where that line is so many seconds after the time of the evaluation."""

    def predict(part: Spans, later: Floats) -> Floats:
        rise, now = _line(part, part.steps_ms)
        return rise * later + now

    return _spread_out(spans, predict, seconds)


def _line(part: Spans, origin_ms: Integers) -> tuple[Floats, Floats]:
    """Slope and height at the origin; a window without any change is flat, and one that is infinite has no line."""
    samples, owners = part.spread()
    starts, count = part.starts(), part.lengths
    times, values = (part.times_ms[samples] - origin_ms[owners]) / 1000, part.values[samples]
    time_mean, value_mean = np.add.reduceat(times, starts) / count, np.add.reduceat(values, starts) / count
    from_mean = times - time_mean[owners]
    rise = np.add.reduceat(from_mean * (values - value_mean[owners]), starts) / np.add.reduceat(from_mean**2, starts)
    height = value_mean - rise * time_mean
    first = part.at_first()
    flat = np.logical_and.reduceat(values == first[owners], starts)
    rise = np.where(flat, np.where(np.isinf(first), np.nan, 0.0), rise)
    return rise, np.where(flat, np.where(np.isinf(first), np.nan, first), height)


def smoothed(spans: Spans, level_factor: Floats, trend_factor: Floats) -> Floats:
    """Double exponential smoothing. Raises InvalidInput for factors that are not between 0 and 1."""
    for name, factor in (("smoothing", level_factor), ("trend", trend_factor)):
        if not np.all((factor > 0) & (factor < 1)):
            raise invalid(f"the {name} factor must be between 0 and 1")
    level, trend = spans.at_first(), spans.values[spans.first + 1] - spans.at_first()
    before = level
    for place in range(1, int(spans.lengths.max())):
        inside = place < spans.lengths
        if place > 1:
            trend = np.where(inside, trend_factor * (level - before) + (1 - trend_factor) * trend, trend)
        value = spans.values[np.minimum(spans.first + place, spans.end - 1)]
        following = level_factor * value + (1 - level_factor) * (level + trend)
        before, level = np.where(inside, level, before), np.where(inside, following, level)
    return level


def _spread_out(spans: Spans, function: Callable[..., Floats], *parameters: Floats) -> Floats:
    """The function of all windows, in parts that fit into memory; parameters are one number a window."""
    results, done = [], 0
    for part in spans.chunks():
        results.append(function(part, *(each[done : done + len(part.first)] for each in parameters)))
        done += len(part.first)
    return np.concatenate(results)


FUNCTIONS: Mapping[str, tuple[int, Callable[..., Floats]]] = {
    "rate": (2, lambda spans: extrapolated(spans, counter=True, per_second=True)),
    "increase": (2, lambda spans: extrapolated(spans, counter=True, per_second=False)),
    "delta": (2, lambda spans: extrapolated(spans, counter=False, per_second=False)),
    "irate": (2, lambda spans: instant(spans, counter=True)),
    "idelta": (2, lambda spans: instant(spans, counter=False)),
    "resets": (1, resets),
    "changes": (1, changes),
    "deriv": (2, slope),
    "predict_linear": (2, predicted),
    "holt_winters": (2, smoothed),
    "double_exponential_smoothing": (2, smoothed),
    "avg_over_time": (1, mean),
    "sum_over_time": (1, lambda spans: spans.reduced(np.add, spans.values)),
    "min_over_time": (1, lambda spans: spans.reduced(np.fmin, spans.values)),
    "max_over_time": (1, lambda spans: spans.reduced(np.fmax, spans.values)),
    "count_over_time": (1, lambda spans: spans.lengths.astype(np.float64)),
    "last_over_time": (1, lambda spans: spans.at_last()),
    "present_over_time": (1, lambda spans: np.ones(len(spans.first))),
    "stdvar_over_time": (1, variance),
    "stddev_over_time": (1, lambda spans: np.sqrt(variance(spans))),
    "quantile_over_time": (1, quantile_of),
}
"""Function → how many samples it needs, and the function of the windows and its other arguments."""
