"""What each column holds, in few figures: the overview that stands before the findings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from lepton_ai.datasets.profile.outliers import measures
from lepton_ai.datasets.profile.survey import Survey
from lepton_ai.datasets.schema import Column
from lepton_ai.datasets.times import Floats

_BINS = 32
_SHOWN_CATEGORIES = 12


@dataclass(frozen=True)
class Histogram:
    """How many values lie between one edge and the next."""

    measure: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class ColumnProfile:
    """A column at a glance."""

    name: str
    kind: str
    role: str
    missing: int
    distinct: int | None
    """Among the measured rows; None where it is not counted."""
    figures: dict[str, float] = field(default_factory=dict)
    """Of numbers: low, median, high, mean, deviation. Of files and texts: median width, length, seconds …"""
    top: tuple[tuple[str, int], ...] = ()
    """The most frequent categories."""
    histogram: Histogram | None = None


def describe_columns(survey: Survey) -> tuple[ColumnProfile, ...]:
    """All columns, in the order of the schema."""
    measured = dict(measures(survey))
    return tuple(_describe(survey, column, measured.get(column.name, {})) for column in survey.schema)


def _describe(survey: Survey, column: Column, measured: dict[str, Floats]) -> ColumnProfile:
    name, sample = column.name, survey.sample
    missing = survey.tally.columns[name].missing
    distinct: int | None = None
    figures: dict[str, float] = {}
    top: tuple[tuple[str, int], ...] = ()
    histogram = None
    if name in sample.numbers:
        present = sample.numbers[name][np.isfinite(sample.numbers[name])]
        distinct = len(np.unique(present))
        figures, histogram = _figures(present), _histogram("", present)
    elif name in sample.categories:
        counts = Counter(value for value in sample.categories[name] if value is not None)
        distinct, top = len(counts), tuple(counts.most_common(_SHOWN_CATEGORIES))
    for what, values in measured.items():
        present = values[np.isfinite(values)]
        if len(present):
            figures[f"median {what}"] = _round(float(np.median(present)))
            if histogram is None or what in ("brightness", "length", "duration"):
                histogram = _histogram(what, present)
    return ColumnProfile(name, column.kind, column.role, missing, distinct, figures, top, histogram)


def _figures(present: Floats) -> dict[str, float]:
    if not len(present):
        return {}
    figures = {
        "low": present.min(),
        "median": np.median(present),
        "high": present.max(),
        "mean": present.mean(),
        "deviation": present.std(),
    }
    return {name: _round(float(value)) for name, value in figures.items()}


def _histogram(measure: str, present: Floats) -> Histogram | None:
    """Between the 0.5 % and 99.5 % quantiles, so that one outlier does not make it a single bar."""
    if len(present) < 2:
        return None
    low, high = np.quantile(present, [0.005, 0.995])
    if not high > low:
        return None
    counts, edges = np.histogram(present, bins=_BINS, range=(low, high))
    return Histogram(measure, tuple(map(_round, edges.tolist())), tuple(counts.tolist()))


def _round(value: float) -> float:
    return float(f"{value:.6g}")
