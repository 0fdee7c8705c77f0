"""The table of KPIs: every expression evaluated, by subject."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lepton_ai.v1 import metrics_pb2 as pb
from services.health.metrics.kpis import KPIS, SUBJECTS, Kpi
from services.health.metrics.series import Matcher, Series, SeriesReader
from services.health.promql.evaluation import evaluate, evaluate_range

_FRESH_S = 1.0
_Subject = tuple[pb.KpiScope.ValueType, tuple[str, ...]]
_Number = tuple[Mapping[str, str], float, Sequence[float]]
"""Labels, value now, earlier values."""


@dataclass(frozen=True)
class Value:
    """One number of one subject."""

    kpi: Kpi
    kind: str
    value: float
    trend: Sequence[float]
    """Earlier values, the newest last; NaN where there was none."""


@dataclass
class Row:
    """Everything about one subject."""

    scope: pb.KpiScope.ValueType
    labels: Mapping[str, str]
    values: list[Value] = field(default_factory=list)


class Board:
    """The table for many who look at the same time: it is computed for all of them once a second at most."""

    def __init__(self, reader: SeriesReader) -> None:
        self._reader = reader
        self._computing = asyncio.Lock()
        self._kept: dict[tuple[int, float], tuple[float, float, list[Row]]] = {}
        """Question → monotonic time of the answer, wall-clock time of its numbers, answer."""

    async def rows(self, *, points: int, trend_s: float) -> tuple[float, list[Row]]:
        """The table, and the time (s since 1970) of which it is. Raises ResourceExhausted."""
        async with self._computing:
            now_s = time.monotonic()
            self._kept = {key: kept for key, kept in self._kept.items() if now_s - kept[0] < _FRESH_S}
            kept = self._kept.get((points, trend_s))
            if kept is None:
                at_s = time.time()
                rows = await kpi_rows(self._reader, at_s, points=points, trend_s=trend_s)
                kept = self._kept[points, trend_s] = time.monotonic(), at_s, rows
            return kept[1], kept[2]


async def kpi_rows(reader: SeriesReader, now_s: float, *, points: int = 0, trend_s: float = 600.0) -> list[Row]:
    """The table at this time, by scope and subject; with `points` earlier values over the last `trend_s`.

    Numbers that there are not (no requests, no GPU) are left out.
    """
    rows: dict[_Subject, Row] = {}
    reader = _ReadOnce(reader)
    for kpi in KPIS:  # one after the other: side by side they would only fight for the interpreter
        for labels, value, trend in await _numbers(kpi, reader, now_s, points, trend_s):
            if math.isnan(value):
                continue
            subject = {name: labels.get(name, "") for name in SUBJECTS[kpi.scope]}
            row = rows.setdefault((kpi.scope, tuple(subject.values())), Row(kpi.scope, subject))
            row.values.append(Value(kpi, labels.get(kpi.kind, ""), value, trend))
    return [rows[subject] for subject in sorted(rows)]


class _ReadOnce:
    """A reader for one table, whose expressions look at the same series again and again."""

    def __init__(self, reader: SeriesReader) -> None:
        self._reader = reader
        self._found: dict[tuple[tuple[Matcher, ...], float, float], Sequence[Series]] = {}

    async def select(self, matchers: Sequence[Matcher], start_s: float, end_s: float) -> Sequence[Series]:
        """See SeriesReader."""
        question = tuple(matchers), start_s, end_s
        if question not in self._found:
            self._found[question] = await self._reader.select(matchers, start_s, end_s)
        return self._found[question]


async def _numbers(kpi: Kpi, reader: SeriesReader, now_s: float, points: int, trend_s: float) -> list[_Number]:
    if not points:
        return [(each.labels, each.value, ()) for each in await evaluate(kpi.expression, reader, now_s)]
    step_s = trend_s / points
    start_s = now_s - (points - 1) * step_s
    found = await evaluate_range(kpi.expression, reader, start_s, now_s, step_s)
    numbers = []
    for series in found:
        trend = _spread(series.times_s, series.values, start_s, step_s, points)
        numbers.append((series.labels, float(trend[-1]), trend.tolist()))
    return numbers


def _spread(
    times_s: NDArray[np.float64], values: NDArray[np.float64], start_s: float, step_s: float, points: int
) -> NDArray[np.float64]:
    """A value for every step."""
    trend = np.full(points, np.nan)
    trend[np.clip(np.rint((times_s - start_s) / step_s).astype(np.int64), 0, points - 1)] = values
    return trend
