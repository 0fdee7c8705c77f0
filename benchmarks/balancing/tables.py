"""Balancers compared on simulated replicas, and what a caller pays for having many replicas."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from benchmarks.balancing.policies import POLICIES
from benchmarks.balancing.simulation import Scene, Simulation, Tally
from benchmarks.report import Report
from lepton_ai.mesh.calling.balancer import Balancer, Outcome

_SEEDS = (1, 2, 3)
_PROCESSES = 2
_LEPTON = next(iter(POLICIES))
_SCENES = {
    "4 clients, 70 % load": Scene(0.7),
    "4 clients, 90 % load": Scene(0.9),
    "4 clients, 110 % load": Scene(1.1),
    "4 clients, 90 % load, three replicas slow at a time": Scene(0.9, antagonists=3),
    "16 clients, 90 % load": Scene(0.9, clients=16),
    "64 clients, 90 % load": Scene(0.9, clients=64),
}
_COUNTS = (1, 2, 5, 10, 20)
_PICKS = 20_000


def measure() -> list[Report]:
    """Simulate all policies in all scenes, and the balancer with one to twenty replicas."""
    wanted = [*itertools.product(POLICIES, _SCENES.values())]
    wanted += [(_LEPTON, Scene(0.7, replicas=count, antagonists=0)) for count in _COUNTS]
    with ProcessPoolExecutor(_PROCESSES) as workers:
        tallies = dict(zip(wanted, workers.map(_simulated, wanted), strict=True))
    compared = [_compared(title, {name: tallies[name, scene] for name in POLICIES}) for title, scene in _SCENES.items()]
    return [*compared, _many([tallies[each] for each in wanted[-len(_COUNTS) :]])]


def _simulated(wanted: tuple[str, Scene]) -> Tally:
    """All seeds together."""
    name, scene = wanted
    tallies = [Simulation(POLICIES[name], scene, seed).run() for seed in _SEEDS]
    return Tally(
        sum(each.offered for each in tallies),
        sum(each.failed for each in tallies),
        sum(each.requests for each in tallies),
        [latency_s for each in tallies for latency_s in each.latencies_s],
    )


def _compared(title: str, tallies: dict[str, Tally]) -> Report:
    before_s = tallies[_LEPTON].quantile_s(0.99)
    rows = [
        [
            name,
            *(f"{tally.quantile_s(share) * 1000:.0f}" for share in (0.5, 0.99, 0.999)),
            f"{tally.quantile_s(0.99) / before_s:.2f}",
            f"{tally.goodput:.2%}",
            f"{tally.failed / tally.offered:.2%}",
            f"{tally.requests / tally.offered:.2f}",
        ]
        for name, tally in tallies.items()
    ]
    columns = ("20 replicas", "p50 ms", "p99 ms", "p99.9 ms", "p99 ratio", "goodput", "failed", "requests a call")
    return Report(f"Balancing, {title}", columns, rows)


def _many(tallies: Sequence[Tally]) -> Report:
    picks_us = [_pick_us(count) for count in _COUNTS]
    rows = [
        [
            str(count),
            f"{pick_us:.1f}",
            *(f"{tally.quantile_s(share) * 1000:.1f}" for share in (0.5, 0.99)),
            f"{tally.quantile_s(0.5) / tallies[0].quantile_s(0.5):.2f}",
        ]
        for count, pick_us, tally in zip(_COUNTS, picks_us, tallies, strict=True)
    ]
    return Report(
        "Balancing, one to twenty replicas, 70 % load each",
        ("replicas", "µs to pick and to finish, p50", "p50 ms", "p99 ms", "p50 ratio"),
        rows,
        "The picks are measured, the latencies are simulated: 4 clients, nothing slowed down.",
    )


def _pick_us(count: int) -> float:
    """What the balancer takes for one call: the choice of a replica and the note of how it went."""
    balancer = Balancer()
    balancer.update(f"r{number}" for number in range(count))
    waiting = [balancer.pick() for _ in range(4 * count)]
    times_us = []
    for number in range(_PICKS):
        begin_s = time.perf_counter()
        ticket = balancer.pick()
        oldest, waiting[number % len(waiting)] = waiting[number % len(waiting)], ticket
        if oldest is not None:
            oldest.finish(Outcome.SUCCEEDED)
        times_us.append((time.perf_counter() - begin_s) * 1e6)
    return statistics.median(times_us)
