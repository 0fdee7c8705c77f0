"""Check: rows that are in the other data as well, exactly or nearly."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from lepton_ai.datasets.profile.finding import Finding, listed, of_rows, percent
from lepton_ai.datasets.profile.media import Picture
from lepton_ai.datasets.profile.near import groups_of, near_pictures, near_texts
from lepton_ai.datasets.profile.sample import Rows
from lepton_ai.datasets.profile.survey import Other, Survey

_ADVICE = (
    "What was trained on must not be tested on: clean(drop_overlap=…) takes them out, or split again with group=…."
)


def check(survey: Survey) -> Iterator[Finding]:
    """Equal inputs over all rows; nearly equal pictures and texts among the measured ones."""
    if survey.other is None:
        return
    mine, theirs = survey.tally.contents, survey.other.tally.contents
    common = np.isin(mine.inputs, theirs.inputs)
    shared = mine.rows[common]
    if len(shared):
        first = dict(zip(theirs.inputs[::-1].tolist(), theirs.rows[::-1].tolist(), strict=True))
        others = [first[value] for value in mine.inputs[common][:1000].tolist()]
        yield _equal(survey, survey.other, shared.tolist(), others)
    for column, near in _near(survey, survey.other, set(shared.tolist())):
        part = (len(near), len(survey.sample))
        yield _finding(survey.other, part, list(near), list(near.values()), near=True, column=column)


def overlapping_rows(survey: Survey) -> Rows:
    """All rows that the check is about, by number."""
    if survey.other is None:
        return np.empty(0, dtype=np.int64)
    mine = survey.tally.contents
    rows = set(mine.rows[np.isin(mine.inputs, survey.other.tally.contents.inputs)].tolist())
    for _, near in _near(survey, survey.other, rows):
        rows = rows.union(near)
    return np.array(sorted(rows), dtype=np.int64)


def _near(survey: Survey, other: Other, equal: set[int]) -> Iterator[tuple[str, dict[int, int]]]:
    """(column, rows with those of the other data that they are nearly the same as) of pictures and texts."""
    here, there = survey.sample, other.sample
    for column in survey.schema.inputs:
        name, size = column.name, len(here)
        if column.kind == "image":
            cells = (*here.pictures[name], *there.pictures.get(name, ()))
            pairs = near_pictures([cell if isinstance(cell, Picture) else None for cell in cells])
        elif column.kind == "text":
            pairs = near_texts([*here.texts[name], *there.texts.get(name, ())])
        else:
            continue
        found: dict[int, int] = {}
        for group in groups_of(pair for pair in pairs if pair[0] < size <= pair[1]):
            other_row = int(there.rows[group[-1] - size])
            found.update({int(here.rows[at]): other_row for at in group if at < size})
        near = {row: match for row, match in sorted(found.items()) if row not in equal}
        if near:
            yield name, near


def _equal(survey: Survey, other: Other, rows: list[int], others: list[int]) -> Finding:
    share = math.lcm(survey.tally.contents.share, other.tally.contents.share)  # of the contents that both sides keep
    return _finding(other, (len(rows) * share, survey.tally.rows), rows, others, near=False)


def _finding(
    other: Other, part: tuple[int, int], rows: list[int], others: list[int], *, near: bool, column: str = ""
) -> Finding:
    count, of = part
    return Finding(
        "overlap",
        "medium" if near else "high",
        f"{of_rows(count)} ({percent(count, of)}) {'nearly ' if near else ''}the same as in {other.name!r}",
        _ADVICE,
        column,
        count,
        listed(rows),
        {"near": near, "other": other.name, "other_rows": list(listed(others))},
    )
