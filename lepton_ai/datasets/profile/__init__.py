"""Looks a data set over: what is missing, double, extreme, constant, leaking, mislabelled, uneven, broken, shared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lepton_ai.datasets.profile import (
    broken,
    constant,
    duplicates,
    imbalance,
    labels,
    leaks,
    missing,
    near_duplicates,
    outliers,
    overlap,
)
from lepton_ai.datasets.profile.columns import ColumnProfile, Histogram, describe_columns
from lepton_ai.datasets.profile.features import TEXT_CHARS
from lepton_ai.datasets.profile.finding import SEVERITIES, CheckName, Finding, Severity, of_rows
from lepton_ai.datasets.profile.progress import Stages
from lepton_ai.datasets.profile.result import Profile
from lepton_ai.datasets.profile.sample import TEXT_HEAD_CHARS, TEXT_TAIL_CHARS, Sample, choose_rows, measure
from lepton_ai.datasets.profile.survey import Other, Survey
from lepton_ai.datasets.profile.tally import count_rows
from lepton_ai.errors import InvalidInput

if TYPE_CHECKING:
    from lepton_ai.datasets.dataset import Dataset

__all__ = ["CheckName", "ColumnProfile", "Finding", "Histogram", "Profile", "Severity", "profile", "survey_of"]

SAMPLE_ROWS = 20_000
"""Of more rows a sample is decoded and compared; counts of missing and equal rows are over all."""

CHECKS: dict[str, Callable[[Survey], Iterator[Finding]]] = {
    "broken files": broken.check,
    "overlap": overlap.check,
    "leaks": leaks.check,
    "duplicates": duplicates.check,
    "near duplicates": near_duplicates.check,
    "missing values": missing.check,
    "labels": labels.check,
    "classes": imbalance.check,
    "outliers": outliers.check,
    "constant columns": constant.check,
}


def profile(
    data: Dataset,
    *,
    other: Dataset | None = None,
    seed: int = 0,
    sample_rows: int = SAMPLE_ROWS,
    progress: bool | None = None,
) -> Profile:
    """What is odd about the data, and about sharing rows with `other`, usually the test part.

    Streams: counts of missing values and of equal rows are over all rows; files are decoded, and rows compared, for at
    most `sample_rows` of them that the seed decides, which the profile says. Nothing is changed. A progress bar is
    shown at a terminal unless `progress` says otherwise. Raises InvalidInput when `other` lacks columns.
    """
    with Stages(shown=progress) as stages:
        survey = survey_of(data, other, seed=seed, sample_rows=sample_rows, stages=stages)
        findings: list[Finding] = []
        for name, check in CHECKS.items():
            stages.begin(f"Checking: {name}")
            findings.extend(check(survey))
        findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))  # stable: else in the order of checks
        columns = describe_columns(survey)
    measured = len(survey.sample)
    return Profile(data.name, len(data), measured, seed, columns, tuple(findings), tuple(survey.notes), data, other)


def survey_of(data: Dataset, other: Dataset | None, *, seed: int, sample_rows: int, stages: Stages) -> Survey:
    """The two passes over the data, and over the other data."""
    if sample_rows < 1:
        raise InvalidInput.of_field("sample_rows", "is less than 1", fix="Leave it out, or look at more rows.")
    notes = []
    rows = choose_rows(len(data), most=sample_rows, seed=seed)
    if len(rows) < len(data):
        notes.append(
            f"{len(rows):,} of {len(data):,} rows, chosen by seed {seed}, were decoded and compared; "
            "missing values and equal rows were counted in all."
        )
    tally, sample = count_rows(data, stages), measure(data, rows, stages)
    if tally.contents.share > 1:
        notes.append(f"Equal rows were looked for among 1 in {tally.contents.share} contents.")
    notes.extend(_about_long_texts(sample))
    notes.extend(f"{column.name}: {column.decided}." for column in data.schema if column.decided)
    if other is None:
        return Survey(data, tally, sample, seed, None, notes)
    lacking = [column.name for column in data.schema.inputs if column.name not in other.schema]
    if lacking:
        raise InvalidInput.of_field("other", f"has no column {lacking[0]!r}", fix="Compare parts of the same data.")
    aligned = other.select(data.schema.names) if set(data.schema.names) <= set(other.schema.names) else other
    aligned = aligned.with_schema(data.schema) if set(aligned.schema.names) == set(data.schema.names) else aligned
    their_rows = choose_rows(len(other), most=sample_rows, seed=seed)
    theirs = Other(other.name, count_rows(aligned, stages), measure(aligned, their_rows, stages))
    return Survey(data, tally, sample, seed, theirs, notes)


def _about_long_texts(sample: Sample) -> Iterator[str]:
    for name, lengths in sample.lengths.items():
        long = int((lengths > TEXT_CHARS).sum())
        if long:
            yield (
                f"{of_rows(long)} with a {name!r} of more than {TEXT_CHARS:,} characters: "
                f"their first {TEXT_HEAD_CHARS:,} and last {TEXT_TAIL_CHARS:,} were compared for near duplicates, "
                f"their first {TEXT_CHARS:,} for labels."
            )
