"""Reads what is watched from where series are kept, at equal steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.health.detect.anomalies.watched import COMBINED, RATE_WINDOW_S, STEP_S, WATCHED, Watched
from services.health.metrics.kpis import MODEL, PROCESS, SERVICE, SUBJECTS, kpi_of
from services.health.metrics.series import SeriesReader
from services.health.promql.evaluation import evaluate_range

Subject = tuple[str, ...]
"""Values of the labels that say of what a number is."""
Values = Mapping[float, float]
"""Time → value; gaps are left out."""


@dataclass(frozen=True)
class Samples:
    """The values of everything in some steps."""

    times_s: Sequence[float]
    numbers: Mapping[tuple[Watched, Subject], Values]
    combined: Mapping[Subject, Mapping[str, Values]]
    """Process → name of a number → its values."""
    rates: Mapping[Subject, Values]
    """Requests a second, of a model's version and of a service."""

    def of(self, what: Watched, subject: Subject) -> Iterator[tuple[float, float]]:
        """Every step with its value; NaN for gaps, and where there are too few requests to say anything."""
        values, rates = self.numbers[what, subject], self.rates.get(subject, {})
        for time_s in self.times_s:
            value = values.get(time_s, math.nan)
            is_judged = not what.least_rate or rates.get(time_s, 0.0) >= what.least_rate
            if what.least_events and value * rates.get(time_s, 0.0) * RATE_WINDOW_S < what.least_events:
                value = min(value, 0.0)  # a few failed requests are no share
            yield time_s, value if is_judged else math.nan

    def together(self, process: Subject) -> Iterator[tuple[float, Mapping[str, float]]]:
        """Every step with the numbers of a process."""
        for time_s in self.times_s:
            yield (
                time_s,
                {name: values[time_s] for name, values in self.combined[process].items() if time_s in values},
            )


async def read_samples(reader: SeriesReader, first_s: float, last_s: float) -> Samples:
    """Everything from the first to the last step. Raises what `evaluate_range` raises."""
    steps = round((last_s - first_s) / STEP_S) + 1
    numbers: dict[tuple[Watched, Subject], Values] = {}
    for what in WATCHED:
        found = await _read(reader, what.kpi.expression, what.subject, first_s, last_s)
        numbers.update({(what, subject): values for subject, values in found.items()})
    combined: dict[Subject, dict[str, Values]] = {}
    for name, expression in COMBINED.items():
        for subject, values in (await _read(reader, expression, SUBJECTS[PROCESS], first_s, last_s)).items():
            combined.setdefault(subject, {})[name] = values
    times = [round(first_s + index * STEP_S, 3) for index in range(steps)]
    rates: dict[Subject, Values] = {}
    for scope in (MODEL, SERVICE):
        rates.update(await _read(reader, kpi_of(scope, "rate").expression, SUBJECTS[scope], first_s, last_s))
    return Samples(times, numbers, combined, rates)


async def read_past(reader: SeriesReader, what: Watched, first_s: float, last_s: float, step_s: float) -> Past:
    """One number of everything over days, at long steps: what seasons are made of."""
    return await _read(reader, what.kpi.expression, what.subject, first_s, last_s, step_s)


Past = Mapping[Subject, Values]


async def _read(
    reader: SeriesReader,
    expression: str,
    labels: Sequence[str],
    first_s: float,
    last_s: float,
    step_s: float = STEP_S,
) -> dict[Subject, Values]:
    found = await evaluate_range(expression, reader, first_s, last_s, step_s)
    return {
        tuple(series.labels.get(label, "") for label in labels): {
            round(time_s, 3): value
            for time_s, value in zip(series.times_s.tolist(), series.values.tolist(), strict=True)
            if math.isfinite(value)
        }
        for series in found
    }
