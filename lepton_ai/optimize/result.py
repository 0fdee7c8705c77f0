"""What a search has found: the trials, the best one, and the ways to look at them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_ai.optimize.measure.engines import serving_engine
from lepton_ai.optimize.search.trial import Trial, pareto_front

if TYPE_CHECKING:
    from lepton_ai.optimize.portions import Portions
    from lepton_ai.optimize.search.task import Folder, Task
    from lepton_ai.package import Package

_LEAST_GAIN = 1.02


@dataclass(frozen=True)
class Optimisation:
    """Variants of a model, measured on this machine. Those that were made are packages in `directory`."""

    model: str
    task: Task
    trials: tuple[Trial, ...]
    folder: Folder
    notes: tuple[str, ...] = ()
    """What to know before believing the figures."""

    @property
    def directory(self) -> Path:
        """The folder of the search."""
        return self.folder.path

    @property
    def front(self) -> list[Trial]:
        """The Pareto front: those that no other one beats in everything."""
        return pareto_front(self.trials)

    @property
    def best(self) -> Trial | None:
        """The one that is best in the target among those within the bound; None when none is better than the original.

        A faster one counts only when the interval of its speed-up says so.
        """
        held = [trial for trial in self.trials if trial.meets(self.task.max_loss) and not trial.is_original]
        gains = {trial.name: self._gain(trial) for trial in held}
        best = max(held, key=lambda trial: gains[trial.name], default=None)
        return best if best is not None and gains[best.name] > _LEAST_GAIN else None

    @property
    def package(self) -> Package | None:
        """The best variant's package, to push or to predict with."""
        from lepton_ai.package import Package

        return None if self.best is None else Package.read(self.folder.variant(self.best.name))

    def document(self) -> dict[str, Any]:
        """Everything as JSON data."""
        best = self.best
        return {
            "model": self.model,
            "directory": str(self.directory),
            **self.task.document(),
            "engine": serving_engine(),
            "best": None if best is None else best.name,
            "front": [trial.name for trial in self.front],
            "notes": list(self.notes),
            "trials": [trial.document() for trial in self.trials],
        }

    def save_report(self, path: Path | str | None = None) -> Path:
        """Write one HTML page with the Pareto picture and all figures. Raises ResourceExhausted for a full disk."""
        from lepton_ai.optimize.report.page import write_page

        return write_page(self, self.folder.report if path is None else Path(path))

    def __str__(self) -> str:
        from lepton_ai.optimize.report.table import render

        return render(self)

    def _gain(self, trial: Trial) -> float:
        """How many times better than the original in the target."""
        original = next(each for each in self.trials if each.is_original)
        assert trial.measured is not None and original.measured is not None  # noqa: S101 - those were chosen
        if self.task.target == "size":
            return trial.measured.original_size_bytes / trial.measured.size_bytes
        if self.task.target == "memory":
            if not original.measured.memory_bytes:
                return math.nan
            return original.measured.memory_bytes / max(1, trial.measured.memory_bytes)
        return trial.measured.speed.ratio.low


def notes_on(trials: Sequence[Trial], portions: Portions, max_loss: float) -> list[str]:
    """What makes the figures less than they look."""
    notes, rows = [], len(portions.judged)
    if len(trials) == 1:
        notes.append("The budget ended before any candidate was begun: give more time with --budget.")
    if not portions.are_parted:
        notes.append(f"Only {rows} rows: they calibrate and judge, so losses look smaller than they are. Give more.")
    if not portions.are_labelled:
        notes.append(
            "Nobody says what is right, so what is measured is agreement with the original's answers. "
            "If a column of the data does, name it: --answer COLUMN."
        )
    if (column := portions.answers) is not None:
        notes.append(f"What is right was read from the column {column!r}.")
    proved = [trial for trial in trials if trial.measured and trial.measured.accuracy.is_proved(max_loss)]
    held = [trial for trial in trials if trial.meets(max_loss) and not trial.is_original]
    if held and not any(trial in proved for trial in held):
        notes.append(
            f"{rows} rows are too few to prove a bound of {max_loss:.2%}: see the intervals of the losses. "
            f"About {math.ceil(4 / max_loss):,} rows without any change would."
        )
    return notes
