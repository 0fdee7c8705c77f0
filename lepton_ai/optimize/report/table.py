"""The trials as a table of texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lepton_ai.optimize.measure.intervals import Estimate

if TYPE_CHECKING:
    from lepton_ai.optimize.result import Optimisation
    from lepton_ai.optimize.search.trial import Trial

TITLES = ("Variant", "Time", "Speed-up", "Loss", "Agreement", "Size", "Memory", "Verdict")


def rows_of(found: Optimisation) -> list[tuple[str, ...]]:
    """One row a trial: the original, then those that were measured, fastest first, then the others."""
    return [_row(trial, found) for trial in in_order(found.trials)]


def in_order(trials: Sequence[Trial]) -> list[Trial]:
    """The original, then those that were measured, fastest first, then the others."""
    return sorted(
        trials,
        key=lambda trial: (
            not trial.is_original,
            trial.measured is None,
            -(trial.measured.speed.ratio.value if trial.measured else 0),
        ),
    )


def verdict(trial: Trial, found: Optimisation) -> str:
    """What to think of a trial, in a few words."""
    if trial.problem:
        return f"{trial.state}: {trial.problem}"
    if trial.is_original:
        return ""
    best = found.best
    if best is not None and trial.name == best.name:
        return "best"
    if not trial.meets(found.task.max_loss):
        return "loses too much"
    return "on the front" if trial in found.front else ""


def render(found: Optimisation) -> str:
    """Plain aligned columns."""
    rows = [TITLES, *rows_of(found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(TITLES))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *found.notes])


def points(share: float) -> str:
    """A share in points: 0.005 is 0.50."""
    return f"{share * 100:.2f}"


def size(count: int) -> str:
    """Bytes as MiB, small ones as KiB."""
    return f"{count / (1 << 20):.2f} MiB" if count >= 1 << 20 else f"{count / (1 << 10):.1f} KiB"


def _row(trial: Trial, found: Optimisation) -> tuple[str, ...]:
    measured = trial.measured
    if measured is None:
        return (trial.name, "", "", "", "", "", "", verdict(trial, found))
    speed, accuracy = measured.speed, measured.accuracy
    return (
        trial.name,
        f"{speed.time_ms:.3g} ms",
        _interval(speed.ratio, lambda value: f"{value:.2f}") + " ×",
        _interval(accuracy.loss, points) + " pt",
        f"{accuracy.agreement.value:.2%}",
        size(measured.size_bytes),
        size(measured.memory_bytes) if measured.memory_bytes else "–",
        verdict(trial, found),
    )


def _interval(estimate: Estimate, text: Callable[[float], str]) -> str:
    return f"{text(estimate.value)} [{text(estimate.low)}, {text(estimate.high)}]"
