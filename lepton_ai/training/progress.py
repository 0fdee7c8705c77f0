"""Shows a run while it goes on: a bar with rate, loss and time left, and a line for every epoch."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from lepton_ai.training.callbacks import Callback, TrainingState

_SHORT = {"learning_rate": "rate"}
_REFRESH_S = 0.1


class ProgressBar(Callback):
    """A bar for the running epoch and a line for every finished one. Silent in other processes than the first."""

    def __init__(self, *, always: bool = False, console: Console | None = None) -> None:
        """`always` prints the lines also when nobody is at a terminal."""
        self._console = console or Console(stderr=True, highlight=False)
        self._interactive = self._console.is_terminal or self._console.is_jupyter
        self.shows = always or self._interactive
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._shown_s = 0.0
        self._begin_s, self._done = 0.0, 0

    def on_epoch_begin(self, state: TrainingState) -> None:
        if not (self.shows and self._interactive and state.is_first):
            return
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.0f} steps/s · loss {task.fields[loss]:.4f}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
        )
        title = f"Epoch {state.epoch}/{state.settings.epochs}"
        self._task = self._progress.add_task(title, total=state.steps_per_epoch, rate=0.0, loss=0.0)
        self._progress.start()
        self._begin_s, self._done = time.monotonic(), 0

    def on_batch_end(self, state: TrainingState) -> None:
        if self._progress is None:
            return
        self._done += 1
        now_s = time.monotonic()
        if now_s - self._shown_s >= _REFRESH_S:
            self._shown_s = now_s
            rate = self._done / max(now_s - self._begin_s, 1e-9)
            self._progress.update(self._task, completed=self._done, rate=rate, loss=state.loss)

    def on_epoch_end(self, state: TrainingState) -> None:
        self._stop()
        if self.shows and state.is_first:
            best = " [green]best[/green]" if state.history.best_epoch == state.epoch else ""
            title = f"Epoch {state.epoch:>{len(str(state.settings.epochs))}}/{state.settings.epochs}"
            self._console.print(f"{title}  {_figures(state)}{best}")

    def on_fit_end(self, state: TrainingState) -> None:
        self._stop()
        if self.shows and state.is_first and state.stop_reason:
            self._console.print(f"Ended: {state.stop_reason}")

    def say(self, text: str) -> None:
        """Print something above the bar."""
        self._console.print(text, markup=False)

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _figures(state: TrainingState) -> str:
    figures = {_SHORT.get(name, name.replace("_", " ")): value for name, value in state.figures.items()}
    duration_s = figures.pop("duration s", 0.0)
    rate = figures.pop("rate", 0.0)
    shown = " · ".join(f"{name} {value:.4f}" for name, value in figures.items())
    return f"{duration_s:5.1f} s · {shown} · rate {rate:.2g}"
