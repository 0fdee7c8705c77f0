"""Training: steps a second of `Model.fit` beside a plain PyTorch loop, Lightning and Keras, with the same network."""

from __future__ import annotations

import copy
import io
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from torch import nn

from benchmarks import rivals
from benchmarks.report import Report
from benchmarks.rivals import BATCH_SIZE, LEARNING_RATE, Rows, Run
from lepton_ai.datasets import Churn, Dataset, Digits
from lepton_ai.models import CNN, MLP
from lepton_ai.models.model import Model
from lepton_ai.training.callbacks import Callback, TrainingState
from lepton_ai.training.prepared import Prepared
from lepton_ai.training.progress import ProgressBar

_ROUNDS = 5
_PLAIN = "plain PyTorch loop"
_COLUMNS = ("", "steps/s", "ratio", "ratios of the rounds")


@dataclass(frozen=True)
class _Subject:
    """A network with its data: raw for us, prepared for the others."""

    title: str
    make: Callable[[], Model]
    data: Dataset
    rows: Rows
    network: nn.Module
    """Where everybody starts."""


def measure(*, seconds: float, rounds: int = _ROUNDS, most_rows: int | None = None) -> list[Report]:
    """A CNN and an MLP, every way of training them, in turns. `seconds` is the length of each run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several wait for each other whenever anything else runs: nothing could be compared
    try:
        return _measure(seconds, rounds, most_rows)
    finally:
        torch.set_num_threads(threads)


def _measure(seconds: float, rounds: int, most_rows: int | None) -> list[Report]:
    pictures, customers = Digits.split()[0][:most_rows], Churn.split()[0][:most_rows]
    subjects = (
        _subject("CNN, digits of 28×28", lambda: CNN((28, 28, 1), 10), pictures),
        _subject("MLP, customers", MLP, customers),
    )
    reports = [_compare(subject, seconds, rounds) for subject in subjects]
    return [*reports, _preparation(subjects)]


def medians(per_s: Mapping[str, list[float]], *, base: str) -> dict[str, tuple[float, float, list[float]]]:
    """For each: median rate, median of the ratios to `base` in the same round, and these ratios."""
    found = {}
    for name, rates in per_s.items():
        ratios = [rate / plain for rate, plain in zip(rates, per_s[base], strict=True)]
        found[name] = (statistics.median(rates), statistics.median(ratios), ratios)
    return found


def _subject(title: str, make: Callable[[], Model], data: Dataset) -> _Subject:
    model = make()
    model.pipeline, model.task = model.prepare(data), model.define_task(data)
    prepared = Prepared.of(data, model.pipeline, model.task)
    inputs, classes = next(iter(prepared.inputs.values())), next(iter(prepared.targets.values()))
    return _Subject(title, make, data, Rows(torch.from_numpy(inputs), torch.from_numpy(classes)), model.network)


def _compare(subject: _Subject, seconds: float, rounds: int) -> Report:
    rows = subject.rows
    # Beside a step that was run once, and in whole epochs.
    rate = rivals.train_plainly(copy.deepcopy(subject.network), Rows(rows.inputs[:640], rows.classes[:640]), 1)
    epochs = max(1, round(seconds * rate / rows.steps))
    runs = _runs(subject)
    per_s: dict[str, list[float]] = {name: [] for name, run in runs.items() if run is not None}
    for _ in range(rounds):
        for name in per_s:
            run = runs[name]
            assert run is not None  # noqa: S101 - only those are in per_s
            per_s[name].append(run(copy.deepcopy(subject.network), rows, epochs))
    found = medians(per_s, base=_PLAIN)
    table = [[name, *_cells(found.get(name))] for name in runs]
    note = (
        f"{len(rows.inputs):,} rows in batches of {BATCH_SIZE}, {epochs * rows.steps:,} steps a run, rows prepared "
        f"before, AdamW, one thread. Medians of {rounds} rounds in turns; a ratio is to the same round's plain loop."
    )
    return Report(f"Training: {subject.title}", _COLUMNS, table, note)


def _cells(found: tuple[float, float, list[float]] | None) -> list[str]:
    if found is None:
        return ["not installed", "–", "–"]
    rate, ratio, ratios = found
    return [f"{rate:,.0f}", f"{ratio:.2f}", " ".join(f"{each:.2f}" for each in ratios)]


def _runs(subject: _Subject) -> dict[str, Run | None]:
    return {
        _PLAIN: rivals.train_plainly,
        "plain PyTorch loop, fused optimiser": rivals.train_plainly_fused,
        "Model.fit": _fit(subject),
        "Model.fit, progress bar on a terminal": _fit(subject, shows=True),
        "Model.fit, doctor=False": _fit(subject, doctor=False),
        "Lightning Trainer": rivals.lightning_trainer(),
        "Keras on torch": rivals.keras_on_torch(),
    }


class _Clock(Callback):
    """How long the steps took, from the first epoch's begin to the last one's end."""

    def on_fit_begin(self, state: TrainingState) -> None:
        self.begin_s = time.perf_counter()

    def on_fit_end(self, state: TrainingState) -> None:
        self.per_s = state.step / (time.perf_counter() - self.begin_s)


def _fit(subject: _Subject, *, shows: bool = False, **settings: Any) -> Run:
    def run(network: nn.Module, rows: Rows, epochs: int) -> float:
        clock, model = _Clock(), subject.make()
        model._network = network
        callbacks: list[Callback] = [clock]
        if shows:
            terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
            callbacks.append(ProgressBar(console=terminal))
        options = {"batch_size": BATCH_SIZE, "learning_rate": LEARNING_RATE, "progress": False, **settings}
        model.fit(subject.data, validation=None, epochs=epochs, callbacks=callbacks, **options)
        return clock.per_s

    return run


def _preparation(subjects: tuple[_Subject, ...]) -> Report:
    """What is done once before the first step: learning the pipeline's state, and running it over every row."""
    table = []
    for subject in subjects:
        model, begin_s = subject.make(), time.perf_counter()
        model.pipeline, model.task = model.prepare(subject.data), model.define_task(subject.data)
        fitted_s = time.perf_counter()
        Prepared.of(subject.data, model.pipeline, model.task)
        done_s = time.perf_counter()
        count = len(subject.data)
        table.append(
            [
                subject.title,
                f"{count:,}",
                f"{fitted_s - begin_s:.2f}",
                f"{done_s - fitted_s:.2f}",
                f"{count / (done_s - begin_s):,.0f}",
            ]
        )
    columns = ("", "rows", "fitting the pipeline s", "running it s", "rows/s")
    return Report("Training: before the first step", columns, table, "Once a fit, however many epochs follow.")
