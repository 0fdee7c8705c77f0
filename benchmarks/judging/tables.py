"""False alarms, faults found, and power of the judge of rollouts, beside two rivals at the same false alarms."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

from benchmarks.judging.rivals import RIVALS, horizon, series
from benchmarks.judging.simulation import MOODS, Fault, Scene, rollout
from benchmarks.report import Report
from services.registry.rollouts.judging import Judge, Outcome

RUNS = 1000
_PROCESSES = 2
_FALSE_ALARMS = 0.01
_FAULTY_RUNS = 5
"""One in so many: faults need fewer runs than false alarms."""
_INTERVAL_S = 5.0
_SLOW = replace(Scene(), per_interval=10, rest=180)
"""Two requests a second for the candidate, 5 % of all."""
_HEALTHY = {
    **{f"5 % canary, {mood}": Scene(mood=mood) for mood in MOODS},
    "half and half, lag-1 intervals": Scene(mood="lag-1 intervals", rest=0),
}
FAULTS = {
    "5 % errors, against all arms": replace(_SLOW, fault=Fault(errors=0.05)),
    "5 % errors, against an equal baseline": replace(_SLOW, fault=Fault(errors=0.05), rest=0),
    "everything 50 % slower": Scene(Fault(slower=1.5)),
    "p95 50 % slower, median as before": Scene(Fault(tail=0.09, tail_factor=3.0)),
    "tails only: 3 % take four times as long": Scene(Fault(tail=0.03)),
    "more variance: deviation +40 %": Scene(Fault(spread=1.4)),
    "late: 25 % slower after three minutes": Scene(Fault(slower=1.25, begins=36)),
    "labels: 12 % get another one": Scene(Fault(relabelled=0.4)),
    "scores: 0.4 deviations lower": Scene(Fault(duller=0.4)),
    "leak: errors grow to 2 % in five minutes": Scene(Fault(errors=0.02, grows=60)),
    "leak: wrong labels grow to 18 %": Scene(Fault(relabelled=0.6, grows=60)),
}
_POWER = {
    "errors +": [(f"{share:.1%}", Fault(errors=share)) for share in (0.0025, 0.005, 0.01, 0.02, 0.05)],
    "slower by ": [(f"{factor - 1:.0%}", Fault(slower=factor)) for factor in (1.05, 1.1, 1.15, 1.25, 1.5)],
    "labels moved ": [(f"{0.3 * share:.0%}", Fault(relabelled=share)) for share in (0.1, 0.2, 0.3, 0.5)],
}


@dataclass(frozen=True)
class Run:
    """What became of one simulated rollout."""

    looks: int | None
    """At which look harm was seen; None when it was not."""
    requests: int
    """Of the candidate until then."""
    since: int
    """Of them, those since the fault began."""
    rivals: tuple[float, ...] = ()
    """How suspicious each rival finds the whole of it."""


def run(scene: Scene, seed: int, *, with_rivals: bool = False) -> Run:
    """Simulate a rollout and judge it."""
    judge, requests, since = Judge(), 0, 0
    seen, stopped = [], None
    for look, interval in enumerate(rollout(scene, seed), 1):
        seen.append(interval)
        if stopped is None:
            requests += interval[0].answers
            since += interval[0].answers * (look > scene.fault.begins)
            if judge.look(*interval).outcome is Outcome.HARM:
                stopped = look
        if stopped is not None and not with_rivals:
            break
    rivals = tuple(rival(*series(seen)) for rival in RIVALS.values()) if with_rivals else ()
    return Run(stopped, requests, since, rivals)


def measure(runs: int = RUNS) -> list[Report]:
    """Simulate all scenes."""
    fewer = max(runs // _FAULTY_RUNS, 1)
    power = {(kind, name): Scene(fault) for kind, each in _POWER.items() for name, fault in each}
    with ProcessPoolExecutor(_PROCESSES) as workers:
        healthy = {name: _runs(workers, scene, runs) for name, scene in _HEALTHY.items()}
        faulty = {name: _runs(workers, scene, fewer) for name, scene in FAULTS.items()}
        powers = {key: _runs(workers, scene, max(fewer // 4, 1)) for key, scene in power.items()}
    limits = {name: _limits(healthy[f"5 % canary, {name}"]) for name in MOODS[:1]}[MOODS[0]]
    return [_false_alarms(healthy, limits), _errors(faulty), _found(faulty, limits), _curve(powers)]


def _runs(workers: ProcessPoolExecutor, scene: Scene, count: int) -> list[Run]:
    return list(workers.map(_with_rivals, itertools.repeat(scene), range(count), chunksize=8))


def _with_rivals(scene: Scene, seed: int) -> Run:
    return run(scene, seed, with_rivals=True)


def _limits(healthy: Sequence[Run]) -> list[float]:
    """What each rival must exceed to alarm in one in a hundred healthy rollouts."""
    rank = int((1 - _FALSE_ALARMS) * len(healthy))
    return [sorted(each.rivals[index] for each in healthy)[min(rank, len(healthy) - 1)] for index in range(len(RIVALS))]


def _false_alarms(healthy: dict[str, list[Run]], limits: Sequence[float]) -> Report:
    rows = [[name, str(len(runs)), _share(runs), *_rival_shares(runs, limits)] for name, runs in healthy.items()]
    note = "Rivals are calibrated to 1 % on the first row; Lepton's judge is not calibrated at all."
    return Report("Judge, rolled back without a fault", ("two equal versions", "runs", "Lepton", *RIVALS), rows, note)


def _errors(faulty: dict[str, list[Run]]) -> Report:
    rows = []
    for name, others in (("5 % errors, against all arms", 19), ("5 % errors, against an equal baseline", 1)):
        requests = sorted(each.requests for each in faulty[name])
        worse, healthy = 0.05 + _SLOW.errors, _SLOW.errors
        for share, found in ((0.5, "half"), (0.9, "nine of ten")):
            fixed = [str(horizon(worse, healthy, others, share, calibrated=each)) for each in (False, True)]
            rows.append([name, found, str(requests[int(share * len(requests))]), *fixed])
    columns = ("requests until", "are found", "Lepton", "rank test at 1 %", "calibrated to 0.1 % errors")
    note = "The rank test looks at errors alone, once, at a number of requests fixed before: each time the best for it."
    return Report("Judge, requests of the candidate until it is found", columns, rows, note)


def _found(faulty: dict[str, list[Run]], limits: Sequence[float]) -> Report:
    rows = []
    for name, runs in faulty.items():
        found = [each for each in runs if each.looks is not None]
        begins = FAULTS[name].fault.begins
        times = [(each.looks or 0) - begins for each in found]
        since = [each.since for each in found]
        middle = (
            [f"{statistics.median(since):.0f}", f"{_INTERVAL_S * statistics.median(times):.0f}"] if found else ["–"] * 2
        )
        rows.append([name, _share(runs), *middle, *_rival_shares(runs, limits)])
    columns = ("fault", "found", "requests", "seconds", *RIVALS)
    note = "Requests of the candidate and seconds from the fault's begin, median. Rivals look once, after 300 s."
    return Report("Judge, faults found in five minutes", columns, rows, note)


def _curve(powers: dict[tuple[str, str], list[Run]]) -> Report:
    rows = []
    for (kind, name), runs in powers.items():
        found = sorted(each.requests for each in runs if each.looks is not None)
        rows.append([kind + name, _share(runs), f"{statistics.median(found):.0f}" if found else "–"])
    return Report("Judge, power at 3,000 requests of the candidate", ("fault", "found", "requests, median"), rows)


def _share(runs: Sequence[Run]) -> str:
    return f"{sum(each.looks is not None for each in runs) / len(runs):.1%}"


def _rival_shares(runs: Sequence[Run], limits: Sequence[float]) -> list[str]:
    return [f"{sum(run.rivals[index] > limit for run in runs) / len(runs):.1%}" for index, limit in enumerate(limits)]
