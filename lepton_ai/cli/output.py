"""What all commands print alike: tables, JSON, errors, durations, and the options that they share.

A command takes `--json` by `@json_option` and the run directory by `@home_option`, prints results on standard output
through `print_table` or `print_json`, and everything else (progress, hints) on standard error through `print_note`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import wraps
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from lepton_ai.errors import LeptonError

P = ParamSpec("P")
R = TypeVar("R")

_STATE_STYLES = {
    "ready": "green",
    "passed": "green",
    "healthy": "green",
    "serving": "green",
    "starting": "yellow",
    "restarting": "yellow",
    "degraded": "yellow",
    "stable": "green",
    "drifted": "bold red",
    "unsupervised": "yellow",
    "unhealthy": "bold red",
    "failed": "bold red",
    "damaged": "bold red",
    "missing": "bold red",
    "stopped": "red",
    "promoted": "green",
    "running": "green",
    "waiting": "yellow",
    "paused": "yellow",
    "held": "yellow",
    "rolled_back": "bold red",
    "aborted": "red",
    "firing": "bold red",
    "pending": "yellow",
    "resolved": "green",
    "delivered": "green",
}


_GAP = 3
"""Between two columns of a table with rules."""
_LONG = 20
"""Cells wider than this may be wrapped, down to this width."""


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    title: str
    align: Literal["left", "right"] = "left"
    style: str = ""


def json_option(command: Callable[P, R]) -> Callable[P, R]:
    """Adds --json; the command gets `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of text for people.")(
        command
    )


def home_option(command: Callable[..., R]) -> Callable[..., R]:
    """Adds --home; the command gets `home`, the run directory of the stack that is meant, started wherever it was."""

    @named_home_option
    @wraps(command)
    def with_home(*args: Any, home: Path | None, **options: Any) -> R:
        return command(*args, home=running_home(home), **options)

    return with_home


def running_home(named: Path | None) -> Path:
    """The run directory that is named, else that of the stack that is meant. Raises FailedPrecondition for several."""
    from lepton_ai.addresses import are_told
    from lepton_ai.local.running import choose_home
    from lepton_ai.local.stack import find_home

    if named is not None:
        return named
    return find_home(Path.cwd()) if are_told(os.environ) else choose_home(Path.cwd())


def own_home_option(command: Callable[..., R]) -> Callable[..., R]:
    """Adds --home to what starts or stops a stack: without it, that of this folder, never one started elsewhere."""

    @_home("the nearest .lepton upwards, else ./.lepton")
    @wraps(command)
    def with_home(*args: Any, home: Path | None, **options: Any) -> R:
        from lepton_ai.local.stack import find_home

        return command(*args, home=find_home(Path.cwd()) if home is None else home, **options)

    return with_home


def _home(default: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    return click.option(
        "--home",
        envvar="LEPTON_HOME",
        type=click.Path(file_okay=False, path_type=Path),
        help=f"Run directory of the stack.  [env: LEPTON_HOME; default: {default}]",
    )


named_home_option = _home("the nearest .lepton upwards, else the stack that runs")
"""Adds --home to what may need no stack: the command gets `home` as it is named, or None; see `running_home`."""


def console(*, stderr: bool = False) -> Console:
    """A rich console for standard output or error. Lines that are not for a terminal are never wrapped."""
    from rich.console import Console

    plain = Console(stderr=stderr, highlight=False)
    return plain if plain.is_terminal else Console(stderr=stderr, highlight=False, width=10_000)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    click.echo(json_text(document, indent=2))


def json_text(document: Any, *, indent: int | None = None) -> str:
    """A document as JSON that every program can read: NaN and infinity, which JSON lacks, are null, and what no UTF-8
    text can hold (half a surrogate pair, as in the name of a file in another encoding) is escaped."""
    text = json.dumps(_plain(document), indent=indent, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def print_note(text: str) -> None:
    """Print a line for people on standard error, where no program takes it for the result. May hold markup."""
    console(stderr=True).print(text)


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
    """Print a table: with rules and colours on a terminal, as plain aligned columns elsewhere.

    On a terminal that is too narrow for that only long texts are wrapped; where that is not enough either, each row is
    a list of its cells.
    """
    out = console()
    cells = [[_cell(each) for each in row] for row in rows]
    if not out.is_terminal:
        out.print(make_table(columns, cells, framed=False))
        return
    widths = _narrow_widths(out, [column.title for column in columns], cells)
    if widths is None:
        out.print(_list_rows(columns, cells))
    else:
        out.print(make_table(columns, cells, widths=widths))


def make_table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[object]],
    *,
    framed: bool = True,
    widths: Sequence[int | None] = (),
) -> RenderableType:
    """The table that `print_table` prints, for a live display. Cells that are strings are shown as they are, markup and
    all unescaped text included, and so are titles; rich renderables are shown as such. `widths`: of columns, None for
    those that take what is left."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD if framed else None, pad_edge=False, header_style="bold", show_edge=False)
    for column, width in zip_longest(columns, widths[: len(columns)]):
        whole = not framed or column.align == "right"  # a number that is cut is another number
        title = Text(_printable(column.title))
        table.add_column(title, justify=column.align, style=column.style, no_wrap=whole, overflow="fold", width=width)
    for row in rows:
        table.add_row(*map(_cell, row))
    return table


def _narrow_widths(
    out: Console, titles: Sequence[str], rows: Sequence[Sequence[RenderableType]]
) -> list[int | None] | None:
    """How wide columns are to be so that only long texts are wrapped; None: they do not fit even so.

    A width of None is one that needs none: everything fits, or the column takes what is left.
    """
    cells = [max((out.measure(row[index]).maximum for row in rows), default=0) for index in range(len(titles))]
    gaps = _GAP * (len(titles) - 1)
    if sum(map(max, cells, map(_width, titles))) + gaps <= out.width:
        return [None] * len(titles)
    words = (max(map(_width, title.split()), default=0) for title in titles)
    least = [max(min(cell, _LONG), word) for cell, word in zip(cells, words, strict=True)]
    if sum(least) + gaps > out.width:
        return None
    return [None if cell > _LONG else width for cell, width in zip(cells, least, strict=True)]


def _list_rows(columns: Sequence[Column], rows: Sequence[Sequence[RenderableType]]) -> RenderableType:
    """Each row as lines: a title, and what stands below it."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for row in rows:
        parts += [Text()] if parts else []
        for column, cell in zip(columns, row, strict=True):
            title = Text(_printable(f"{column.title}: "), style="bold")
            if not isinstance(cell, Text):
                parts += [title, cell]
            elif cell.plain:
                parts.append(Text.assemble(title, cell, style=column.style))
    return Group(*parts)


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _cell(cell: object) -> RenderableType:
    from rich.text import Text

    shown: RenderableType = cell if hasattr(cell, "__rich_console__") else Text(_printable(str(cell)))
    return shown


def _printable(text: str) -> str:
    """Half a surrogate pair, as in the name of a file in another encoding, cannot be written to a terminal."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def style_state(state: str) -> RenderableType:
    """A state in its colour: green works, yellow is on its way, red does not work."""
    from rich.text import Text

    return Text(state, style=_STATE_STYLES.get(state.lower(), ""))


def progress_bar(title: str, *, shown: bool) -> AbstractContextManager[Callable[[int, int], None] | None]:
    """A bar on a terminal, to be called with (bytes done, bytes in all); nothing elsewhere, or if it is not `shown`."""
    if not shown or not console(stderr=True).is_terminal:
        return nullcontext()
    from lepton_ai.cli.progress import transfer_progress

    return transfer_progress(title)


def print_error(error: LeptonError, *, as_json: bool = False, traced: bool = False) -> None:
    """Say what went wrong and what to do, on standard error; with `traced` also how to see the call's trace."""
    if as_json:
        fields = [{"field": violation.field, "description": violation.description} for violation in error.fields]
        document = {"message": error.message, "reason": error.reason, "code": error.code.name, "fix": error.fix}
        if error.trace_id:
            document["trace_id"] = error.trace_id
        click.echo(json_text({"error": {**document, "fields": fields}}), err=True)
        return
    from rich.text import Text

    out = console(stderr=True)
    out.print(Text.assemble(("Error: ", "bold red"), error.message))
    for violation in error.fields:
        if violation.field not in error.message:
            out.print(Text(f"  {violation.field}: {violation.description}"))
    if error.fix:
        out.print(Text.assemble(("What to do: ", "bold"), error.fix))
    if traced and error.trace_id:
        out.print(f"See what happened: lepton trace {error.trace_id}")


def format_duration_s(duration_s: float) -> str:
    """12.3 ms, 4.2 s, 3 min 20 s, 5 h 12 min, 3 d 4 h."""
    if duration_s < 1:
        return f"{duration_s * 1000:.3g} ms"
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    minutes, seconds = divmod(int(duration_s), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def format_size_bytes(size_bytes: int) -> str:
    """512 B, 1.5 KiB, 20.0 MiB."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size_bytes} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
