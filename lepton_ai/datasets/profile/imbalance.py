"""Check: classes with far fewer rows than others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lepton_ai.datasets.profile.finding import Finding, listed
from lepton_ai.datasets.profile.sample import Rows
from lepton_ai.datasets.profile.survey import Survey

_UNEVEN, _VERY_UNEVEN = 4, 10
_FEWEST_ROWS = 10
_FEWEST_IN_ALL = 50


def check(survey: Survey) -> Iterator[Finding]:
    """Counted over the measured rows."""
    classes = survey.class_ids()
    if classes is None:
        return
    ids, names = classes
    counts = np.bincount(ids[ids >= 0], minlength=len(names))
    seen = {name: int(count) for name, count in zip(names, counts, strict=True)}
    absent = [name for name, count in seen.items() if not count]
    if absent and len(ids) >= _FEWEST_IN_ALL:
        shown = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        advice = "The model can never learn them: collect rows, or take them out of the categories."
        yield Finding("imbalance", "medium", f"no row of the class {shown}", advice, _name(survey))
    present = counts[counts > 0]
    if len(present) < 2 or len(ids) < _FEWEST_IN_ALL:
        return
    yield from _uneven(survey, ids, seen, float(present.max() / present.min()))


def _uneven(survey: Survey, ids: Rows, seen: dict[str, int], ratio: float) -> Iterator[Finding]:
    if ratio < _UNEVEN:
        return
    least = min((count, name) for name, count in seen.items() if count)
    most = max((count, name) for name, count in seen.items())
    rows = survey.sample.rows[ids == list(seen).index(least[1])]
    few = survey.sample.complete and least[0] < _FEWEST_ROWS
    advice = "Judge by balanced accuracy or AUC, not accuracy; weight the classes, or oversample the small ones."
    if few:
        advice = f"{least[1]!r} has too few rows to learn or to test: collect more. " + advice
    yield Finding(
        "imbalance",
        "medium" if ratio >= _VERY_UNEVEN or few else "low",
        f"{most[1]!r} has {ratio:.3g} times as many rows as {least[1]!r} ({most[0]:,} and {least[0]:,})",
        advice,
        _name(survey),
        rows=listed(rows[:12]),
        evidence={"counts": seen},
    )


def _name(survey: Survey) -> str:
    return survey.target.name if survey.target is not None else ""
