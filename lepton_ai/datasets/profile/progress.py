"""Shows how far a profile has come, when somebody is at a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class Stages:
    """One bar that is named after the stage that runs; nothing without a terminal, or with `shown=False`."""

    def __init__(self, *, shown: bool | None = None, console: Console | None = None) -> None:
        console = console or Console(stderr=True, highlight=False)
        visible = (console.is_terminal or console.is_jupyter) if shown is None else shown
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TimeRemainingColumn(compact=True))
        self._progress = Progress(*columns, console=console, transient=True, disable=not visible)
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, name: str, total: int | None = None) -> None:
        """A new stage, of so many rows if that is known."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(name, total=total)

    def advance(self, rows: int) -> None:
        """So many more rows are done."""
        if self._task is not None:
            self._progress.advance(self._task, rows)
