"""Tables of results: on the terminal, and as Markdown for docs/."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Report:
    """One table with its title and what must be known to read it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def show(report: Report) -> None:
    """Print a report on the terminal."""
    table = Table(title=report.title, title_justify="left", caption=report.note, caption_justify="left")
    for index, column in enumerate(report.columns):
        table.add_column(column, justify="right" if index else "left")
    for row in report.rows:
        table.add_row(*row)
    console = Console()
    # In a file or a pipe nobody is helped by wrapped columns.
    (console if console.is_terminal else Console(width=140)).print(table)


def as_json(reports: Sequence[Report]) -> str:
    """The tables for programs: a list of rows by column for each title."""
    tables = {report.title: [dict(zip(report.columns, row, strict=True)) for row in report.rows] for report in reports}
    return json.dumps(tables, indent=1, ensure_ascii=False)


def markdown(report: Report) -> str:
    """The report for a document."""
    lines = [f"## {report.title}", "", f"| {' | '.join(report.columns)} |"]
    lines.append("|" + "|".join("---" if index == 0 else "---:" for index in range(len(report.columns))) + "|")
    lines += [f"| {' | '.join(row)} |" for row in report.rows]
    return "\n".join([*lines, "", report.note, ""]) if report.note else "\n".join([*lines, ""])
