"""Shows how a start goes: a live table on a terminal, a line for each change elsewhere, nothing for programs."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lepton_ai.cli.output import Column, console, format_duration_s, make_table, style_state

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from lepton_ai.local.observation import ProcessHealth, StackHealth

_COLUMNS = (
    Column(""),
    Column("process"),
    Column("state"),
    Column("after", "right", "dim"),
    Column("address", style="dim"),
)


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
        """Show the newest state."""
        for process in health.processes:
            if process.ready:
                self._ready_after_s.setdefault(process.process.name, self.elapsed_s)
        if self._live is not None:
            self._live.update(self._table(health))
        elif not self._silent:
            self._print_changes(health)

    def _print_changes(self, health: StackHealth) -> None:
        for process in health.processes:
            name, state = process.process.name, process.state
            if self._shown.get(name) != state and state != "stopped":
                self._shown[name] = state
                self._out.print(f"{self.elapsed_s:6.1f} s  {name}: {state}", markup=False)

    def _table(self, health: StackHealth) -> RenderableType:
        return make_table(_COLUMNS, [self._row(process) for process in health.processes])

    def _row(self, health: ProcessHealth) -> tuple[object, ...]:
        from rich.spinner import Spinner
        from rich.text import Text

        name = health.process.name
        mark: object = Text("✓", style="green") if health.ready else Spinner("dots", style="yellow")
        state = health.state
        if not health.ready and health.status and health.status.starts > 1:
            state = f"restarting (start {health.status.starts})"
        after = format_duration_s(self._ready_after_s.get(name, self.elapsed_s))
        return mark, name, style_state(state), after, health.process.address
