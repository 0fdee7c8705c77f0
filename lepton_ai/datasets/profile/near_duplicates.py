"""Check: pictures, texts and rows of numbers that are nearly the same as another one."""

from __future__ import annotations

from collections.abc import Iterator

from lepton_ai.datasets.profile.finding import Finding, listed, of_rows, percent
from lepton_ai.datasets.profile.media import Picture
from lepton_ai.datasets.profile.near import groups_of, near_pictures, near_rows, near_texts
from lepton_ai.datasets.profile.sample import Sample
from lepton_ai.datasets.profile.survey import Survey
from lepton_ai.datasets.schema import Schema

_FEWEST_NUMBERS = 3
_WHAT = {"image": "pictures", "text": "texts", "": "rows"}


def check(survey: Survey) -> Iterator[Finding]:
    """Rows that are equal in everything are left to the check of duplicates."""
    contents = survey.tally.contents
    whole = dict(zip(contents.rows.tolist(), contents.whole.tolist(), strict=True))
    for column, kind, groups in near_groups(survey.sample, survey.schema):
        numbered = [[int(survey.sample.rows[at]) for at in group] for group in groups]
        distinct = [_without_equal(group, whole) for group in numbered]
        near = [group for group in distinct if len(group) > 1]
        if near:
            yield _finding(survey, column, kind, near)


def near_groups(sample: Sample, schema: Schema) -> Iterator[tuple[str, str, list[list[int]]]]:
    """(column, kind, groups of places in the sample) for each input that can be compared."""
    for column in schema.inputs:
        if column.kind == "image":
            pictures = [cell if isinstance(cell, Picture) else None for cell in sample.pictures[column.name]]
            yield column.name, "image", groups_of(near_pictures(pictures))
        elif column.kind == "text":
            yield column.name, "text", groups_of(near_texts(sample.texts[column.name]))
    numbers = {column.name: sample.numbers[column.name] for column in schema.inputs if column.kind == "number"}
    plain = all(column.kind in ("number", "category") for column in schema.inputs)
    if plain and len(numbers) >= _FEWEST_NUMBERS and len(sample):
        rest = [sample.categories[column.name] for column in schema.inputs if column.kind == "category"]
        yield "", "", groups_of(near_rows(numbers, rest))


def _without_equal(group: list[int], whole: dict[int, int]) -> list[int]:
    """Of equal rows the first; a row whose hash was not kept stands for itself."""
    kept: dict[int, int] = {}
    for row in group:
        kept.setdefault(whole.get(row, -row - 1), row)
    return sorted(kept.values())


def _finding(survey: Survey, column: str, kind: str, groups: list[list[int]]) -> Finding:
    extra = sum(len(group) - 1 for group in groups)
    return Finding(
        "near-duplicate",
        "medium" if kind else "low",  # readings of sensors are alike without being copies
        f"{of_rows(extra)} ({percent(extra, len(survey.sample))}) nearly the same as an earlier one: {_WHAT[kind]}",
        "Split with group=… so that they stay together, or clean(drop_near_duplicates=True).",
        column,
        extra,
        listed(row for group in groups for row in group[1:]),
        {"groups": [group[:20] for group in groups[:50]], "sets": len(groups)},
    )
