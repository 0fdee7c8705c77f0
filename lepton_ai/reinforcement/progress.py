"""A progress bar for training, shown when a person watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[float, str], None]
"""Called with the share that is done (0 to 1) and a note to show beside the bar."""


@contextmanager
def training_progress(title: str, shown: bool | None) -> Iterator[Advance]:
    """A bar with time left on standard error; `shown` None: only when that is a terminal."""
    if not (sys.stderr.isatty() if shown is None else shown):
        yield lambda done, note: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn())
    console = Console(stderr=True, force_terminal=shown)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=1.0, note="")
        yield lambda done, note: progress.update(task, completed=done, note=note)
