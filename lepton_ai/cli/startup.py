"""Shows how a start goes: a live table on a terminal, a line for each change elsewhere, nothing for programs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lepton_ai.cli.output import Column, console, format_duration_s, make_table, style_state

if TYPE_CHECKING:
    from rich.live import Live

    from lepton_ai.local.processes.observation import StackHealth

_COLUMNS = (
    Column(""),
    Column("process"),
    Column("state"),
    Column("after", "right", "dim"),
    Column("address", style="dim"),
)


@dataclass(frozen=True)
class StartupRow:
    """One process or container that starts."""

    name: str
    state: str
    is_ready: bool
    address: str
    starts: int = 1
    """How often it was started by now."""


class StartupDisplay:
    """Use as a context manager and hand `observe` to whatever starts the stack."""

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._out = console(stderr=True)
        self._started = time.monotonic()
        self._ready_after_s: dict[str, float] = {}
        self._shown: dict[str, str] = {}
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._out.is_terminal and not self._silent:
            from rich.live import Live

            self._live = Live(console=self._out, refresh_per_second=10)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def elapsed_s(self) -> float:
        """Since the display was made."""
        return time.monotonic() - self._started

    def observe(self, health: StackHealth) -> None:
        """Show the newest state of a local stack."""
        self.show(
            [
                StartupRow(
                    process.process.name,
                    process.state,
                    process.ready,
                    process.process.address,
                    process.status.starts if process.status else 1,
                )
                for process in health.processes
            ]
        )

    def show(self, rows: Sequence[StartupRow]) -> None:
        """Show the newest state."""
        for row in rows:
            if row.is_ready:
                self._ready_after_s.setdefault(row.name, self.elapsed_s)
        if self._live is not None:
            self._live.update(make_table(_COLUMNS, [self._cells(row) for row in rows]))
        elif not self._silent:
            self._print_changes(rows)

    def _print_changes(self, rows: Sequence[StartupRow]) -> None:
        for row in rows:
            if self._shown.get(row.name) != row.state and row.state != "stopped":
                self._shown[row.name] = row.state
                self._out.print(f"{self.elapsed_s:6.1f} s  {row.name}: {row.state}", markup=False)

    def _cells(self, row: StartupRow) -> tuple[object, ...]:
        from rich.spinner import Spinner
        from rich.text import Text

        mark: object = Text("✓", style="green") if row.is_ready else Spinner("dots", style="yellow")
        state = row.state
        if not row.is_ready and row.starts > 1:
            state = f"restarting (start {row.starts})"
        after = format_duration_s(self._ready_after_s.get(row.name, self.elapsed_s))
        return mark, row.name, style_state(state), after, row.address
