"""Check: cells without a value, and words or numbers that stand for none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from lepton_ai.datasets.profile.finding import Finding, Severity, listed, of_rows, percent
from lepton_ai.datasets.profile.survey import Survey
from lepton_ai.datasets.schema import Column
from lepton_ai.tensors import Array

_MOSTLY = 0.5
_SOME = 0.05
_PLACEHOLDERS = frozenset({
    "na", "n/a", "nan", "null", "none", "nil", "-", "--", "?", "？", "unknown", "missing", "tbd",
    "无", "未知", "不详", "缺失", "空", "暂无",
})  # fmt: skip
_SENTINELS = (-1.0, -9.0, -99.0, -999.0, -9999.0, 999.0, 9999.0, 99999.0, 999999.0)
_FEWEST_SENTINELS = 3


def check(survey: Survey) -> Iterator[Finding]:
    """Missing targets are serious, mostly empty columns worth dropping, the rest is for the imputer."""
    for name, tally in survey.tally.columns.items():
        if tally.column.role == "ignore":
            continue
        if tally.missing:
            yield _missing(tally.column, tally.missing, tally.missing_rows, survey.tally.rows)
        yield from _disguised(survey, name)


def _missing(column: Column, count: int, rows: list[int], of: int) -> Finding:
    share = count / of
    severity: Severity = "low"
    advice = 'Models fill them with what is usual (the step impute); to leave the rows out: clean(missing="drop").'
    if column.role == "target":
        severity, advice = "high", 'Rows without a target cannot be learnt from: clean(missing="drop_without_target").'
    elif share >= _MOSTLY:
        severity, advice = "medium", f"Most is missing: clean(drop_columns=[{column.name!r}])."
    elif share >= _SOME:
        severity = "medium"
    elif column.kind not in ("number", "category"):
        advice = 'Leave these rows out: clean(missing="drop").'
    finite = "finite " if column.kind == "tensor" or (column.role, column.kind) == ("target", "number") else ""
    message = f"{of_rows(count)} ({percent(count, of)}) without a {finite}value"
    evidence = {"share": share}
    return Finding("missing", severity, message, advice, column.name, count, listed(rows), evidence)


def _disguised(survey: Survey, name: str) -> Iterator[Finding]:
    sample = survey.sample
    words = sample.categories.get(name) or sample.texts.get(name)
    if words is not None:
        marked = [index for index, word in enumerate(words) if word and word.strip().casefold() in _PLACEHOLDERS]
        found = Counter(str(words[index]) for index in marked).most_common(3)
    elif name in sample.numbers:
        marked, found = _sentinels(sample.numbers[name])
    else:
        return
    if not marked:
        return
    shown = ", ".join(repr(word) for word, _ in found)
    yield Finding(
        "missing",
        "medium",
        f"{of_rows(len(marked))} hold {shown}, which seems to stand for a missing value",
        "Make it a missing value before training, so that it is filled and not learnt from.",
        name,
        len(marked),
        listed(sample.rows[marked]),
        {"placeholders": dict(found)},
    )


def _sentinels(numbers: Array) -> tuple[list[int], list[tuple[str, int]]]:
    """A number that people write for "none" counts when it is an end of the column, far from all the rest."""
    present = numbers[np.isfinite(numbers)]
    for value in (present.min(), present.max()) if len(present) else ():
        rest = present[present != value]
        if value not in _SENTINELS or len(present) - len(rest) < _FEWEST_SENTINELS or not len(rest):
            continue
        gap = (rest.min() - value) if value < rest.min() else (value - rest.max())
        if gap > max(1.0, float(rest.max() - rest.min())):
            marked = np.flatnonzero(numbers == value).tolist()
            return marked, [(f"{value:g}", len(marked))]
    return [], []
