"""Check: pictures and sounds that the pipeline's decoders refuse, and files that are not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from lepton_ai.datasets.profile.finding import Finding, listed, of_rows
from lepton_ai.datasets.profile.media import Broken
from lepton_ai.datasets.profile.survey import Survey


def check(survey: Survey) -> Iterator[Finding]:
    """One finding a column, with the reasons counted."""
    sample = survey.sample
    measured: list[tuple[str, Sequence[object]]] = [*sample.pictures.items(), *sample.clips.items()]
    for name, cells in measured:
        broken = [(index, cell.reason) for index, cell in enumerate(cells) if isinstance(cell, Broken)]
        if not broken:
            continue
        reasons = Counter(reason for _, reason in broken)
        rows = listed(sample.rows[index] for index, _ in broken)
        yield Finding(
            "broken",
            "high",
            f"{of_rows(len(broken))} with a file that the pipeline refuses; row {rows[0]}: {broken[0][1]}",
            "Serving would refuse them as well: repair the files, or clean(drop_broken=True).",
            name,
            len(broken),
            rows,
            {"reasons": dict(reasons.most_common(10)), "values": [reason for _, reason in broken[: len(rows)]]},
        )
