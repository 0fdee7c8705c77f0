"""Shows a run while it goes on: a bar with rate, loss and time left, and a line for every epoch."""

from __future__ import annotations

import time
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from lepton_ai.training.callbacks import Callback, TrainingState

_REFRESH_S = 0.1
_MANY = 10
_FEWEST = 3
"""Of the figures of an epoch: the duration and both losses."""


class ProgressBar(Callback):
    """A bar for the running epoch and a line for every finished one. Silent in other processes than the first.

    Where there is no terminal, and in a notebook without ipywidgets, there are only the lines.
    """

    def __init__(self, *, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._interactive = self._console.is_terminal or self._console.is_jupyter
        self._has_bar = self._console.is_terminal or (self._console.is_jupyter and find_spec("ipywidgets") is not None)
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._shown_s = 0.0
        self._begin_s, self._done, self._losses = 0.0, 0, 0.0

    def on_epoch_begin(self, state: TrainingState) -> None:
        if not (self._has_bar and state.is_first):
            return
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
        )
        title = f"Epoch {state.epoch}/{state.settings.epochs}"
        self._task = self._progress.add_task(title, total=state.steps_per_epoch, figures="")
        self._progress.start()
        self._begin_s, self._done, self._losses = time.monotonic(), 0, 0.0

    def on_batch_end(self, state: TrainingState) -> None:
        if self._progress is None:
            return
        self._done += 1
        self._losses += state.loss
        now_s = time.monotonic()
        if now_s - self._shown_s >= _REFRESH_S or self._done == state.steps_per_epoch:
            self._shown_s = now_s
            rate = self._done / max(now_s - self._begin_s, 1e-9)
            figures = f"{rate:.{0 if rate >= _MANY else 1}f} steps/s · loss {self._losses / self._done:.4f}"
            self._progress.update(self._task, completed=self._done, figures=figures)

    def on_epoch_end(self, state: TrainingState) -> None:
        self._stop()
        if state.is_first:
            line = Text(f"Epoch {state.epoch:>{len(str(state.settings.epochs))}}/{state.settings.epochs}  ")
            best = "  best" if state.history.best_epoch == state.epoch else ""
            width = self._console.width - len(line) - len(best) if self._interactive else None
            line.append(_figures(state, width)).append(best, style="green")
            self._console.print(line, soft_wrap=True)

    def on_fit_end(self, state: TrainingState) -> None:
        self._stop()
        if state.is_first and state.stop_reason:
            self._console.print(f"Ended: {state.stop_reason}", markup=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Print a warning above the bar."""
        self._console.print(text, style="yellow", markup=False, soft_wrap=not self._interactive)

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _figures(state: TrainingState, width: int | None) -> str:
    """Duration and losses, then as many other figures as there is room for."""
    plain = {name: f"{name.replace('_', ' ')} {value:.4f}" for name, value in state.figures.items()}
    del plain["duration_s"], plain["learning_rate"]
    judged = [text.removeprefix("validation ") for name, text in plain.items() if name.startswith("validation_")]
    trained = [f"  {text}" for name, text in plain.items() if not name.startswith("validation_")]
    parts = [f"{state.figures['duration_s']:.1f} s", *trained, *(f", {text}" for text in judged)]
    if judged:
        parts[1 + len(trained)] = f"  validation {judged[0]}"
    parts.append(f"  rate {state.learning_rate:.2g}")
    while width is not None and len(parts) > _FEWEST and sum(map(len, parts)) > width:
        parts.pop()
    return "".join(parts)
