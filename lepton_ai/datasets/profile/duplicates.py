"""Check: rows with the same content, and rows that differ only in their target."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lepton_ai.datasets.profile.finding import Finding, listed, of_rows, percent
from lepton_ai.datasets.profile.sample import Rows
from lepton_ai.datasets.profile.survey import Survey
from lepton_ai.datasets.profile.tally import Contents
from lepton_ai.datasets.profile.values import Hashes

_FEW_COMBINATIONS = 0.5
_RICH_KINDS = ("text", "image", "sound", "tensor")


def check(survey: Survey) -> Iterator[Finding]:
    """Exact by content hash, whatever the files are called."""
    contents = survey.tally.contents
    if not len(contents.rows):
        return
    repeated, groups = _repeats(contents.rows, contents.whole)
    if len(repeated):
        yield _duplicate(survey, len(repeated) * contents.share, repeated, groups)
    target = survey.target
    if target is not None and target.kind == "category":
        rows, groups = conflicts(contents)
        if len(rows):
            yield _conflict(len(rows) * contents.share, rows, groups, survey.tally.rows, exact=contents.share == 1)


def first_of_each(hashes: Hashes) -> Rows:
    """The places at which each content is there for the first time, in order."""
    _, first = np.unique(hashes, return_index=True)
    return np.sort(first).astype(np.int64)


def conflicts(contents: Contents) -> tuple[Rows, list[list[int]]]:
    """Rows whose inputs are equal to those of a row with another target, and the first groups of them."""
    order = np.lexsort((contents.rows, contents.inputs))
    given, whole, rows = contents.inputs[order], contents.whole[order], contents.rows[order]
    starts = np.flatnonzero(np.append(True, given[1:] != given[:-1]))
    low, high = np.minimum.reduceat(whole, starts), np.maximum.reduceat(whole, starts)
    ends = np.append(starts[1:], len(rows))
    odd = np.flatnonzero(low != high)
    groups = [rows[starts[at] : ends[at]].tolist() for at in odd[:50]]
    inside = np.repeat(low != high, ends - starts)
    return np.sort(rows[inside]), groups


def has_few_combinations(survey: Survey) -> bool:
    """Whether equal rows are no surprise, because plain columns have few different combinations."""
    if any(column.kind in _RICH_KINDS for column in survey.schema.inputs):
        return False
    distinct = len(np.unique(survey.tally.contents.whole))
    return distinct < _FEW_COMBINATIONS * len(survey.tally.contents.rows)


def _repeats(rows: Rows, hashes: Hashes) -> tuple[Rows, list[list[int]]]:
    first = first_of_each(hashes)
    again = np.ones(len(rows), dtype=bool)
    again[first] = False
    order = np.argsort(hashes, kind="stable")
    inside = hashes[order]
    starts = np.flatnonzero(np.append(True, inside[1:] != inside[:-1]))
    counts = np.diff(np.append(starts, len(rows)))
    largest = np.argsort(-counts, kind="stable")[:50]
    groups = [rows[order[starts[at] : starts[at] + counts[at]]][:20].tolist() for at in largest if counts[at] > 1]
    return rows[again], groups


def _duplicate(survey: Survey, count: int, repeated: Rows, groups: list[list[int]]) -> Finding:
    few = has_few_combinations(survey)
    exact = "" if survey.tally.contents.share == 1 else "about "
    advice = "They count twice in training and may land in train and test: clean(drop_duplicates=True)."
    if few:
        advice = "The columns have few combinations, so equal rows are expected: keep them if each is a case."
    repeat = "repeats" if count == 1 else "repeat"
    return Finding(
        "duplicate",
        "low" if few else "medium",
        f"{exact}{of_rows(count)} ({percent(count, survey.tally.rows)}) {repeat} an earlier row",
        advice,
        count=count,
        rows=listed(repeated),
        evidence={"groups": groups, "few_combinations": few},
    )


def _conflict(count: int, rows: Rows, groups: list[list[int]], of: int, *, exact: bool) -> Finding:
    return Finding(
        "conflict",
        "high",
        f"{'' if exact else 'about '}{of_rows(count)} ({percent(count, of)}) are equal but have different targets",
        "At most one of the targets is right: look at them, or clean(drop_conflicts=True).",
        count=count,
        rows=listed(row for group in groups for row in group),
        evidence={"groups": groups, "all_listed": len(rows) <= sum(map(len, groups))},
    )
