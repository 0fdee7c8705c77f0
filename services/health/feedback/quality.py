"""What feedback says of a version. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.health.feedback.book import Kind
from services.health.feedback.figures import Figures, RightNumber, ScoreBin

Z95 = 1.959964
_MOST_SHARE, _PRECISION = 0.25, 1e-3
_GOOD_RATING, _BAD_RATING = 4.0, 2.0


@dataclass(frozen=True)
class Quality:
    """Of one version."""

    good: int
    """Predictions that are called right or good by all that was said of them."""
    bad: int
    labelled: int
    right: int
    accuracy: tuple[float, float]
    """The 95 % interval (Wilson, 1927) of the share that is right."""
    rated: int
    mean_rating: float
    calibration_error: float
    mean_absolute_error: float
    confusions: Sequence[tuple[str, str, int]]
    """(predicted, right label, how often), the most frequent first."""
    trend: Sequence[tuple[int, int, int]]
    """(first second of a day, good, bad)."""
    texts: int
    sources: int
    """Who gave labels: hosts, form visitors, users of tokens."""
    largest_share: float
    """Of one of them among all labels."""
    capped_accuracy: float
    """See `capped_accuracy`."""


def is_good(kind: Kind, said: object, *, predicted: str) -> bool | None:
    """Whether something that was said calls the prediction right or good; None where it says neither.

    `predicted`: the label, empty where it is not known or a number.
    """
    match kind, said:
        case Kind.THUMB, bool():
            return said
        case Kind.RATING, int() | float():
            return True if said >= _GOOD_RATING else (False if said <= _BAD_RATING else None)
        case Kind.LABEL, str() if predicted:
            return said == predicted
    return None


def by_version(figures: Figures) -> Mapping[int, Quality]:
    """The quality of every version that something was said of."""
    kinds = (figures.verdicts, figures.bins, figures.numbers, figures.ratings, figures.texts)
    versions = sorted({row[0] for rows in kinds for row in rows})
    return {version: _quality(Figures(*(_of(version, rows) for rows in figures))) for version in versions}


def _of(version: int, rows: Sequence[Any]) -> list[Any]:
    return [row for row in rows if row[0] == version]


def wilson(successes: float, total: float, *, z: float = Z95) -> tuple[float, float]:
    """The interval of a share (Wilson, 1927), of 95 % by default; (0, 1) where nothing is known."""
    if not total:
        return 0.0, 1.0
    share = successes / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return max(0.0, middle - half), min(1.0, middle + half)


def _quality(figures: Figures) -> Quality:
    """Of one version."""
    labelled, right = sum(each.labelled for each in figures.bins), sum(each.right for each in figures.bins)
    rated = sum(each.rated for each in figures.ratings)
    return Quality(
        good=sum(each.good for each in figures.verdicts),
        bad=sum(each.bad for each in figures.verdicts),
        labelled=labelled,
        right=right,
        accuracy=wilson(right, labelled),
        rated=rated,
        mean_rating=sum(each.total for each in figures.ratings) / rated if rated else 0.0,
        calibration_error=_calibration_error(figures.bins, labelled),
        mean_absolute_error=_mean_absolute_error(figures.numbers),
        confusions=[(each.predicted, each.label, each.times) for each in figures.confusions],
        trend=[(each.day, each.good, each.bad) for each in figures.verdicts],
        texts=sum(times for _, times in figures.texts),
        sources=len(figures.sources),
        largest_share=max((each.labelled for each in figures.sources), default=0) / labelled if labelled else 0.0,
        capped_accuracy=capped_accuracy([(each.labelled, each.right) for each in figures.sources]),
    )


def capped_accuracy(sources: Sequence[tuple[int, int]]) -> float:
    """Share that is right where no source weighs more than a quarter of all, or than others where there are few.

    `sources`: labelled and right of each. So one that says much cannot say alone how good a version is.
    """
    weights = capped([labelled for labelled, _ in sources])
    right = sum(weight * right / labelled for weight, (labelled, right) in zip(weights, sources, strict=True))
    return right / sum(weights) if weights else 0.0


def capped(counts: Sequence[int]) -> list[float]:
    """How much each of these (all positive) weighs where none weighs more than a quarter of all, if that can be."""
    if not counts:
        return []
    low, high = float(min(counts)), float(max(counts))
    if high <= _MOST_SHARE * sum(counts):
        return [float(count) for count in counts]
    while high - low > _PRECISION * high:  # below the largest cap that keeps to the share, all do
        middle = (low + high) / 2
        fits = middle <= _MOST_SHARE * sum(min(count, middle) for count in counts)
        low, high = (middle, high) if fits else (low, middle)
    return [min(count, low) for count in counts]


def _calibration_error(bins: Sequence[ScoreBin], labelled: int) -> float:
    """Expected calibration error (Naeini et al., AAAI 2015) over ten bins of scores."""
    return sum(abs(each.scores - each.right) for each in bins) / labelled if labelled else 0.0


def _mean_absolute_error(numbers: Sequence[RightNumber]) -> float:
    errors = [abs(float(each.said) - each.predicted) for each in numbers if _is_number(each.said)]
    return sum(errors) / len(errors) if errors else 0.0


def _is_number(said: str) -> bool:
    try:
        return math.isfinite(float(said))
    except ValueError:
        return False
