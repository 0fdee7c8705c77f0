"""Check: pictures and sounds that the pipeline's decoders refuse or doubt, and files that are not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeGuard

from lepton_ai.datasets import cells
from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.profile.finding import CheckName, Finding, Severity, listed, of_rows
from lepton_ai.datasets.profile.media import Broken, Clip, Picture
from lepton_ai.datasets.profile.survey import Survey


def check(survey: Survey) -> Iterator[Finding]:
    """Of each column one finding of the files that are refused and one of those that are doubted, reasons counted."""
    sample = survey.sample
    measured: list[tuple[str, Sequence[object]]] = [*sample.pictures.items(), *sample.clips.items()]
    for name, items in measured:
        broken = [(index, cell.reason) for index, cell in enumerate(items) if isinstance(cell, Broken)]
        if broken:
            advice = "Serving would refuse them as well: repair the files, or clean(drop_broken=True)."
            yield _finding("broken", "high", "the pipeline refuses", advice, survey, name, broken)
        doubtful = [(index, cell.doubts[0]) for index, cell in enumerate(items) if _is_doubtful(cell)]
        if doubtful:
            advice = (
                "Serving reads them alike and says so with the prediction: look whether they are what they should be."
            )
            yield _finding("doubtful", "medium", "the pipeline reads with a doubt", advice, survey, name, doubtful)


def _is_doubtful(cell: object) -> TypeGuard[Picture | Clip]:
    return isinstance(cell, Picture | Clip) and bool(cell.doubts)


def _finding(
    check: CheckName,
    severity: Severity,
    what: str,
    advice: str,
    survey: Survey,
    column: str,
    said: Sequence[tuple[int, str]],
) -> Finding:
    """`said` names files by their place in the sample, with the reason."""
    reasons = Counter(reason for _, reason in said)
    rows = listed(survey.sample.rows[index] for index, _ in said)
    return Finding(
        check,
        severity,
        f"{of_rows(len(said))} with a file that {what}; {_named(survey.data, column, rows[0])}: {said[0][1]}",
        advice,
        column,
        len(said),
        rows,
        {"reasons": dict(reasons.most_common(10)), "values": [reason for _, reason in said[: len(rows)]]},
    )


def _named(data: Dataset, name: str, row: int) -> str:
    """A row by its number, and by its file where it has one."""
    if not cells.holds_paths(data.schema[name], data.arrow_schema.field(name).type):
        return f"row {row}"
    batch = next(data.take([row]).batches([name]))
    return f"row {row}, {batch.column(0)[0].as_py()}"
