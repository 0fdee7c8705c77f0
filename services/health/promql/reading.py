"""Which series an expression needs, over which time: each selector is read once, however many steps look at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lepton_ai.errors import ResourceExhausted
from services.health.metrics.series import Series, SeriesReader
from services.health.promql.expressions import (
    Aggregation,
    Binary,
    Call,
    Edge,
    Expression,
    Negation,
    Range,
    Selector,
    Subquery,
)
from services.health.promql.values import Batch

LOOKBACK_MS = 300_000
"""How old the newest sample of a series may be for an instant vector."""
MAX_SAMPLES = 20_000_000
"""That one query may read: 320 MB."""


@dataclass(frozen=True)
class Period:
    """Steps of an evaluation, in milliseconds since 1970."""

    start_ms: int
    end_ms: int

    def moved(self, at: int | Edge | None, offset_ms: int, query: Period) -> Period:
        """What an `@` and an `offset` make of it."""
        start, end = self.start_ms, self.end_ms
        if at is not None:
            start = end = at if isinstance(at, int) else query.start_ms if at == "start" else query.end_ms
        return Period(start - offset_ms, end - offset_ms)

    def earlier(self, duration_ms: int) -> Period:
        """The same with a longer past."""
        return Period(self.start_ms - duration_ms, self.end_ms)


async def read(expression: Expression, reader: SeriesReader, query: Period) -> Mapping[Selector, Batch]:
    """Everything that the evaluation of an expression will look at. Raises ResourceExhausted where it is too much."""
    periods: dict[Selector, Period] = {}
    for selector, period in _needs(expression, query, query):
        other = periods.get(selector, period)
        periods[selector] = Period(min(period.start_ms, other.start_ms), max(period.end_ms, other.end_ms))
    found, samples = {}, 0
    for selector, period in periods.items():
        series = await reader.select(selector.matchers, period.start_ms / 1000, period.end_ms / 1000)
        samples += sum(len(each.times_s) for each in series)
        if samples > MAX_SAMPLES:
            raise ResourceExhausted(
                f"The query looks at more than {MAX_SAMPLES:,} samples",
                reason="QUERY_TOO_LARGE",
                fix="Ask for fewer series or a shorter time.",
            )
        found[selector] = _together(series)
    return found


def _together(series: Sequence[Series]) -> Batch:
    times_s = np.concatenate([np.zeros(0), *(each.times_s for each in series)])
    values = np.concatenate([np.zeros(0), *(each.values for each in series)])
    starts = np.cumsum([0, *(len(each.times_s) for each in series)])
    return Batch([each.labels for each in series], np.rint(times_s * 1000).astype(np.int64), values, starts)


def _needs(node: Expression, period: Period, query: Period) -> Iterator[tuple[Selector, Period]]:
    match node:
        case Selector():
            yield node, period.moved(node.at, node.offset_ms, query).earlier(LOOKBACK_MS)
        case Range(selector=selector, range_ms=range_ms):
            yield selector, period.moved(selector.at, selector.offset_ms, query).earlier(range_ms)
        case Subquery():
            inside = period.moved(node.at, node.offset_ms, query).earlier(node.range_ms)
            yield from _needs(node.expression, inside, query)
        case _:
            for child in children(node):
                yield from _needs(child, period, query)


def children(node: Expression) -> tuple[Expression, ...]:
    """What a node is made of."""
    match node:
        case Binary():
            return node.left, node.right
        case Call():
            return node.arguments
        case Aggregation():
            return (node.expression,) if node.parameter is None else (node.parameter, node.expression)
        case Negation() | Subquery():
            return (node.expression,)
        case Range():
            return (node.selector,)
        case _:
            return ()
