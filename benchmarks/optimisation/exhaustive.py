"""How near `lepton optimise` comes, within its budget, to the best of all combinations of networks and files."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import lepton_ai as la
from benchmarks.report import Report
from lepton_ai.datasets import Dataset, Digits
from lepton_ai.models import CNN
from lepton_ai.optimize.candidate import Candidate
from lepton_ai.optimize.entry import lay_out
from lepton_ai.optimize.measure.cpu import this_cpu
from lepton_ai.optimize.measure.intervals import Estimate
from lepton_ai.optimize.methods import METHODS
from lepton_ai.optimize.portions import portion
from lepton_ai.optimize.search.search import Search
from lepton_ai.optimize.search.space import single_methods
from lepton_ai.optimize.search.task import Folder, Task
from lepton_ai.optimize.search.trial import Trial
from lepton_ai.package import Package

_BUDGET_S, _MAX_LOSS, _ROWS = 600.0, 0.005, 1500
_NO_BOUND = 0.999
"""So that no trial of the exhaustive run ends early."""
_HOURS_S = 6 * 3600.0
Made = tuple[Package, Dataset, Dataset]


def measure(
    *, budget_s: float = _BUDGET_S, methods: Sequence[str] = (), make: Callable[[Path], Made] | None = None
) -> list[Report]:
    """A search and an exhaustive run over the same model and rows; of some methods only, if they are named.

    `make`: of another model than the digits' its package, the rows to train with, and those to judge by.
    """
    with tempfile.TemporaryDirectory(prefix="lepton-") as place:
        package, train, judged = (make or _digits)(Path(place))
        begin_s = time.monotonic()
        found = la.optimise(
            package, judged, train=train, max_loss=_MAX_LOSS, budget_s=budget_s, methods=methods, out=f"{place}/search"
        )
        took_s = time.monotonic() - begin_s
        chosen = "original" if found.best is None else found.best.name
        trials = _exhaustive(package, train, judged, Path(place) / "all", methods)
    return [_report(found.model, chosen, len(found.trials), took_s, trials)]


def _digits(place: Path) -> Made:
    train, judged = Digits.split()
    train = train.shuffle()[:_ROWS]
    model = CNN((28, 28, 1), 10)
    model.fit(train, epochs=8, schedule="one_cycle", progress=False, doctor=False)
    return model.package(place / "package", name="digits"), train, judged


def _exhaustive(
    package: Package, train: Dataset, judged: Dataset, directory: Path, methods: Sequence[str]
) -> list[Trial]:
    """Every network with every file method, each measured to the end."""
    portions = portion(package, judged, train)
    task = Task(package.digest, portions.digest, "latency", _NO_BOUND, this_cpu())
    folder = Folder(directory)
    search = Search(folder, task)
    lay_out(folder, package, portions)
    return search.run(combinations(single_methods(task.cpu, trainable=True, methods=methods)), budget_s=_HOURS_S)


def combinations(singles: Sequence[Candidate]) -> list[Candidate]:
    """Each alone, and each network with each file method."""
    kinds = {single.name: METHODS[single.steps[0].method].kind for single in singles}
    networks = [each for each in singles if kinds[each.name] == "model" and len(each.steps) == 1]
    files = [each for each in singles if kinds[each.name] == "file"]
    return [*singles, *(Candidate((*network.steps, *file.steps)) for network in networks for file in files)]


def _report(model: str, chosen: str, tried: int, took_s: float, trials: Sequence[Trial]) -> Report:
    """Both figures are from the exhaustive run, so that its noise is in both."""
    held = {each.name: each.measured for each in trials if each.meets(_MAX_LOSS) and each.measured is not None}
    best = max(held, key=lambda name: held[name].speed.ratio.low)
    rows = []
    for kind, name in (("best of all", best), ("found", chosen)):
        figures = held.get(name)
        told = ("", "loses too much there") if figures is None else _told(figures.speed.ratio, held[best].speed.ratio)
        rows.append((kind, name, *told))
    spent_s = sum(trial.duration_s for trial in trials)
    note = (
        f"The search: {tried} candidates in {took_s / 60:.1f} minutes; all {len(trials)}: {spent_s / 60:.0f} minutes. "
        f"Bound: {_MAX_LOSS:.1%} of accuracy; target: one row on one thread."
    )
    return Report(
        f"search beside an exhaustive run, {model}", ("", "variant", "times as fast", "of the best"), rows, note
    )


def _told(ratio: Estimate, best: Estimate) -> tuple[str, str]:
    return f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]", f"{ratio.value / best.value:.0%}"
