"""The simulation that balancers are compared in: what it must show with any policy, and that it tells them apart."""

from __future__ import annotations

import pytest

from benchmarks.balancing.policies import POLICIES
from benchmarks.balancing.simulation import MEAN_S, Scene, Simulation, Tally

LEPTON = next(iter(POLICIES))


def _run(policy: str, **scene: float) -> Tally:
    return Simulation(POLICIES[policy], Scene(**{"load": 0.7, "seconds": 9.0, **scene}), seed=3).run()  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", POLICIES)
def test_every_call_is_answered_or_failed_and_the_same_seed_gives_the_same(policy: str) -> None:
    tally = _run(policy, replicas=4, load=0.9)
    assert tally.offered == len(tally.latencies_s) + tally.failed > 0
    assert tally.requests >= tally.offered
    assert tally.latencies_s == _run(policy, replicas=4, load=0.9).latencies_s


def test_without_load_a_call_takes_what_its_work_takes() -> None:
    tally = _run(LEPTON, load=0.01, antagonists=0)
    assert sum(tally.latencies_s) / len(tally.latencies_s) == pytest.approx(MEAN_S, rel=0.2)


def test_too_much_load_fails_about_what_cannot_be_served() -> None:
    assert _run(LEPTON, replicas=4, load=1.5, antagonists=0).goodput == pytest.approx(1 / 1.5, abs=0.08)


def test_the_balancer_stays_off_a_slow_replica_and_round_robin_does_not() -> None:
    assert _run(LEPTON).quantile_s(0.99) < 0.5 * _run("round robin").quantile_s(0.99)
