"""Small networks that learned from a large one, beside the same networks trained from scratch on the same rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import lepton_ai as la
from benchmarks.report import Report
from lepton_ai.datasets import Dataset, Digits
from lepton_ai.models import CNN
from lepton_ai.models.model import Model
from lepton_ai.optimize.measure.cpu import this_cpu
from lepton_ai.optimize.measure.intervals import resampled
from lepton_ai.optimize.methods import Workpiece
from lepton_ai.optimize.prune.channels import prune_channels
from lepton_ai.optimize.rows import Rows

_SEEDS = 5
_ROWS, _EPOCHS = 500, 12
_WIDE, _NARROW = (16, 32, 64, 128), (8, 16, 32, 64)
_QUIET: dict[str, Any] = {"progress": False, "doctor": False}


def measure(*, seeds: int = _SEEDS) -> list[Report]:
    """Accuracy on digits that nobody has seen, by seed."""
    train, test = Digits.split()
    teacher = _network(_WIDE, 0)
    teacher.fit(train, epochs=6, **_QUIET)
    ways: dict[str, Callable[[Dataset, int], Model]] = {
        "from scratch": _from_scratch,
        "distilled": lambda rows, seed: _distilled(teacher, rows, seed),
        "pruned": lambda rows, seed: _pruned(teacher, rows),
    }
    scores: dict[str, list[float]] = {name: [] for name in ways}
    for seed in range(seeds):
        rows = train.shuffle(seed)[:_ROWS]
        for name, make in ways.items():
            scores[name].append(make(rows, seed).evaluate(test).metrics["accuracy"])
    return [_report(scores, teacher.evaluate(test).metrics["accuracy"])]


def _network(channels: tuple[int, ...], seed: int) -> CNN:
    return CNN((28, 28, 1), 10, channels=channels, seed=seed)


def _from_scratch(rows: Dataset, seed: int) -> Model:
    model = _network(_NARROW, seed)
    model.fit(rows, epochs=_EPOCHS, seed=seed, **_QUIET)
    return model


def _distilled(teacher: Model, rows: Dataset, seed: int) -> Model:
    model = _network(_NARROW, seed)
    la.distil(teacher, model, rows, epochs=_EPOCHS, seed=seed, **_QUIET)
    return model


def _pruned(teacher: Model, rows: Dataset) -> Model:
    return prune_channels(teacher, Workpiece(Rows({}), this_cpu(), 0.005, rows), {"share": 0.5, "epochs": _EPOCHS})


def _report(scores: dict[str, list[float]], teacher: float) -> Report:
    alone = np.array(scores["from scratch"])
    rows = []
    for name, values in scores.items():
        gains = np.array(values) - alone
        gain = resampled(lambda chosen, gains=gains: float(gains[chosen].mean()), len(gains))  # type: ignore[misc]
        told = (
            f"{gain.value * 100:+.2f} [{gain.low * 100:+.2f}, {gain.high * 100:+.2f}]" if name != "from scratch" else ""
        )
        rows.append((name, f"{np.mean(values):.2%}", f"{min(values):.2%} to {max(values):.2%}", told))
    return Report(
        "half the width, digits",
        ("", "accuracy", "of the seeds", "points gained"),
        rows,
        f"{len(alone)} seeds, each with {_ROWS} other rows, {_EPOCHS} epochs; the whole one: {teacher:.2%} from 4,000.",
    )
