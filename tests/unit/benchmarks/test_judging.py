"""The rivals of the judge are what they are called, and simulated versions are as bad as they are said to be."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.judging.rivals import RIVALS, _rank_z, horizon, series
from benchmarks.judging.simulation import Fault, Scene, rollout
from benchmarks.judging.tables import run
from lepton_ai.counts import Sketch


def lag_1(values: list[float]) -> float:
    return float(np.corrcoef(values[1:], values[:-1])[0, 1])


def test_the_rank_test_is_mann_whitneys() -> None:
    stats = pytest.importorskip("scipy.stats")
    dice = np.random.default_rng(1)
    ours, theirs = dice.integers(0, 6, 40).astype(float), dice.integers(0, 5, 40).astype(float)
    expected = stats.mannwhitneyu(ours, theirs, alternative="greater", use_continuity=False, method="asymptotic").pvalue
    assert stats.norm.sf(_rank_z(ours, theirs)) == pytest.approx(expected)


def test_a_fixed_horizon_grows_with_what_is_wanted() -> None:
    half, most = (horizon(0.05, 0.001, 1, wanted, calibrated=False) for wanted in (0.5, 0.9))
    assert 80 < half < most < 400
    assert horizon(0.05, 0.001, 1, 0.5, calibrated=True) < half


@pytest.mark.parametrize("rival", RIVALS)
def test_a_rival_is_more_suspicious_of_a_slow_version(rival: str) -> None:
    same = RIVALS[rival](*series(list(rollout(Scene(), 1))))
    assert RIVALS[rival](*series(list(rollout(Scene(Fault(slower=1.5)), 1)))) > same


def test_means_of_intervals_have_the_correlation_that_is_said() -> None:
    scene = Scene(mood="lag-1 intervals", intervals=1500, rest=0)
    medians = [candidate.latency_s.quantile(0.5) or 0.0 for candidate, _, _ in rollout(scene, 1)]
    assert lag_1(medians) == pytest.approx(0.25, abs=0.1)


def test_the_p95_is_half_slower_where_it_is_said() -> None:
    ours, theirs = Sketch(), Sketch()
    for candidate, baseline, _ in rollout(Scene(Fault(tail=0.09, tail_factor=3.0), intervals=200), 1):
        ours, theirs = ours + candidate.latency_s, theirs + baseline.latency_s
    assert (ours.quantile(0.95) or 0.0) / (theirs.quantile(0.95) or 1.0) == pytest.approx(1.5, abs=0.12)


def test_a_run_ends_where_harm_is_seen() -> None:
    stopped = run(Scene(Fault(errors=0.5)), 1)
    assert stopped.looks == 1
    assert stopped.requests < 80
