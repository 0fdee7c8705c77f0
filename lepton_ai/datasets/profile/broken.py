"""Check: pictures and sounds that the pipeline's decoders refuse, and files that are not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from lepton_ai.datasets import cells
from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.profile.finding import Finding, listed, of_rows
from lepton_ai.datasets.profile.media import Broken
from lepton_ai.datasets.profile.survey import Survey


def check(survey: Survey) -> Iterator[Finding]:
    """One finding a column, with the reasons counted."""
    sample = survey.sample
    measured: list[tuple[str, Sequence[object]]] = [*sample.pictures.items(), *sample.clips.items()]
    for name, items in measured:
        broken = [(index, cell.reason) for index, cell in enumerate(items) if isinstance(cell, Broken)]
        if not broken:
            continue
        reasons = Counter(reason for _, reason in broken)
        rows = listed(sample.rows[index] for index, _ in broken)
        yield Finding(
            "broken",
            "high",
            f"{of_rows(len(broken))} with a file that the pipeline refuses; "
            f"{_named(survey.data, name, rows[0])}: {broken[0][1]}",
            "Serving would refuse them as well: repair the files, or clean(drop_broken=True).",
            name,
            len(broken),
            rows,
            {"reasons": dict(reasons.most_common(10)), "values": [reason for _, reason in broken[: len(rows)]]},
        )


def _named(data: Dataset, name: str, row: int) -> str:
    """A row by its number, and by its file where it has one."""
    if not cells.holds_paths(data.schema[name], data.arrow_schema.field(name).type):
        return f"row {row}"
    batch = next(data.take([row]).batches([name]))
    return f"row {row}, {batch.column(0)[0].as_py()}"
