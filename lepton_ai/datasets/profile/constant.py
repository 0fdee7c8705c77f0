"""Check: columns that hold the same value in every row, or in nearly every one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from lepton_ai.datasets.profile.finding import Finding, Severity, listed, percent
from lepton_ai.datasets.profile.survey import Survey

_NEARLY = 0.998
_FEWEST_ROWS = 20


def check(survey: Survey) -> Iterator[Finding]:
    """Counted over all rows; "nearly" over the measured ones."""
    for column in survey.schema:
        if column.role not in ("input", "target") or survey.tally.rows < 2:
            continue
        tally = survey.tally.columns[column.name]
        advice = f"It tells nothing: clean(drop_columns=[{column.name!r}])."
        if column.role == "target":
            advice = "There is nothing to tell apart: collect rows of another class."
        if not tally.present and tally.missing:
            yield Finding("constant", "medium", "no row has a value", advice, column.name)
        elif tally.constant and not tally.missing:
            severity: Severity = "high" if column.role == "target" else "medium"
            yield Finding("constant", severity, "the same value in every row", advice, column.name)
        elif column.role == "input":
            yield from _nearly(survey, column.name)


def _nearly(survey: Survey, name: str) -> Iterator[Finding]:
    sample = survey.sample
    values: list[Any] = sample.numbers[name].tolist() if name in sample.numbers else sample.categories.get(name, [])
    if len(values) < _FEWEST_ROWS:
        return
    value, count = Counter(values).most_common(1)[0]
    if count < _NEARLY * len(values) or count == len(values):
        return
    rare = np.flatnonzero([each != value for each in values])
    yield Finding(
        "constant",
        "low",
        f"{value!r} in {percent(count, len(values))} of the rows",
        "It tells little; drop it unless the few other values matter.",
        name,
        rows=listed(sample.rows[rare]),
        evidence={"value": str(value), "share": count / len(values)},
    )
