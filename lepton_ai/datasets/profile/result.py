"""The profile of a data set: its columns, what was found, and what to do about it; as a table, JSON or a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lepton_ai.datasets.profile.columns import ColumnProfile
from lepton_ai.datasets.profile.finding import SEVERITIES, CheckName, Finding
from lepton_ai.datasets.schema import render

if TYPE_CHECKING:
    from rich.console import Group

    from lepton_ai.datasets.clean import CleaningPolicy
    from lepton_ai.datasets.dataset import Dataset

_COLOURS = {"high": "bold red", "medium": "yellow", "low": "dim"}
_SHOWN_ROWS = 6


@dataclass(frozen=True)
class Profile:
    """What `data.profile()` gives. The most serious findings come first."""

    name: str
    rows: int
    measured_rows: int
    """How many rows were decoded and compared; fewer than `rows` means a sample that the seed decides."""
    seed: int
    columns: tuple[ColumnProfile, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    data: Dataset | None = field(default=None, repr=False, compare=False)
    """The data themselves, from which the page takes its pictures; not part of the JSON."""
    other: Dataset | None = field(default=None, repr=False, compare=False)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def of_check(self, check: CheckName) -> tuple[Finding, ...]:
        """The findings of one check: "missing", "duplicate", "label" …"""
        return tuple(finding for finding in self.findings if finding.check == check)

    def policy(self) -> CleaningPolicy:
        """What `data.clean` would sensibly do about the findings, without judging what a person should judge."""
        from lepton_ai.datasets.clean import propose

        return propose(self)

    def to_json(self) -> str:
        """All figures and row numbers; no content of rows."""
        document = {
            "name": self.name,
            "rows": self.rows,
            "measured_rows": self.measured_rows,
            "seed": self.seed,
            "notes": self.notes,
            "findings": [asdict(finding) for finding in self.findings],
            "columns": [asdict(column) for column in self.columns],
        }
        return json.dumps(document, ensure_ascii=False)

    def to_html(self, path: str | Path) -> None:
        """One page that needs nothing else, with pictures of the rows in question. Raises FailedPrecondition,
        ResourceExhausted when it cannot be written."""
        from lepton_ai.datasets.profile.page import write_page

        write_page(self, Path(path))

    def __rich__(self) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        notes = [Text(note, style="dim") for note in self.notes]
        title = f"{self.name}: {self.summary}"
        if not self.findings:
            return Group(Text(title), *notes)
        table = Table(title=Text(title), title_justify="left", show_lines=True)
        table.add_column("", no_wrap=True)
        table.add_column("check, column", overflow="fold", max_width=24)
        table.add_column("what was found, → what to do", overflow="fold")
        for each in self.findings:
            subject = Text(f"{each.check}\n{each.column}".rstrip())
            found = Text.assemble(each.message, _rows(each), "\n", (f"→ {each.advice}", "cyan"))
            table.add_row(Text(each.severity, style=_COLOURS[each.severity]), subject, found)
        return Group(table, *notes)

    def __str__(self) -> str:
        return render(self)

    @property
    def summary(self) -> str:
        """In one line: how many rows, and how many findings of which severity."""
        counted = [(sum(each.severity == severity for each in self.findings), severity) for severity in SEVERITIES]
        found = ", ".join(f"{count} {severity}" for count, severity in counted if count)
        return f"{self.rows:,} rows, {len(self.columns)} columns, " + (f"findings: {found}" if found else "no findings")


def _rows(finding: Finding) -> str:
    shown = ", ".join(map(str, finding.rows[:_SHOWN_ROWS]))
    more = ", …" if len(finding.rows) > _SHOWN_ROWS else ""
    return f" [row {shown}{more}]" if shown else ""
