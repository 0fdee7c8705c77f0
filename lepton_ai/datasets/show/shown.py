"""What `show` gives: a sheet or a table that a notebook displays, a terminal prints, and `save` writes."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TypeVar

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from lepton_ai.archive import replacing

_PRINTED_CHARACTERS = 300
_SAVED_WIDTH = 160
_LONG = 24
"""Characters above which a cell may be folded."""


@dataclass(frozen=True)
class Sheet:
    """A picture with rows of a data set."""

    title: str
    png: bytes = field(repr=False)

    def save(self, path: Path | str) -> Path:
        """Write the picture as a PNG file. Raises ResourceExhausted, FailedPrecondition."""
        return _write(Path(path), self.png)

    def _repr_png_(self) -> bytes:
        return self.png


@dataclass(frozen=True)
class Listing:
    """A table with rows of a data set."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def save(self, path: Path | str) -> Path:
        """Write the table, as HTML if the path ends so, else as text. Raises ResourceExhausted, FailedPrecondition."""
        path = Path(path)
        is_page = path.suffix.lower() in (".html", ".htm")
        head = f'<!doctype html><meta charset="utf-8"><title>{escape(self.title)}</title>'
        return _write(path, (head + self._repr_html_() if is_page else str(self)).encode())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The columns that fit, and how many do not."""
        shown = self._fitting(options.max_width)
        left = len(self.columns) - shown
        table = Table(
            title=Text(self.title),
            caption=f"Columns left out: {left}" if left else None,
            show_lines=any(cell_len(cell) > _LONG for row in self.rows for cell in row[:shown]),
        )
        for name in self.columns[:shown]:
            table.add_column(Text(name), overflow="fold")
        for row in self.rows:
            table.add_row(*(Text(_cut(cell)) for cell in row[:shown]))
        yield table

    def _fitting(self, width: int) -> int:
        """How many columns have room, long texts being folded."""
        taken = 1
        for place, cells in enumerate(zip(self.columns, *self.rows, strict=True)):
            taken += 3 + min(_LONG, max(map(cell_len, cells)))
            if taken > width:
                return max(2, place)
        return len(self.columns)

    def __str__(self) -> str:
        file = io.StringIO()
        console = Console(file=file, width=_SAVED_WIDTH)
        console.print(self)
        return file.getvalue()

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_cut(cell))}</td>" for cell in row) + "</tr>" for row in self.rows
        )
        caption = f"<caption>{escape(self.title)}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


Shown = TypeVar("Shown", Sheet, Listing)


def present(shown: Shown) -> Shown:
    """Where nothing displays the result by itself: print the table, or save the sheet and print where."""
    console = Console(highlight=False)
    if console.is_jupyter:
        return shown
    if isinstance(shown, Listing):
        console.print(shown)
        return shown
    with tempfile.NamedTemporaryFile(prefix="lepton-", suffix=".png", delete=False) as file:
        file.write(shown.png)
    console.print(f"{shown.title}: saved as {file.name}", markup=False, soft_wrap=True)
    return shown


def _write(path: Path, content: bytes) -> Path:
    with replacing(path) as file:
        file.write(content)
    return path


def _cut(text: str) -> str:
    return text if len(text) <= _PRINTED_CHARACTERS else text[: _PRINTED_CHARACTERS - 1] + "…"
