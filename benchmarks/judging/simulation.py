"""Simulated rollouts: the counts of three arms, interval by interval, of versions that are bad in one way or in none.

An interval is 5 s. The candidate and its baseline get as many requests each, the rest more. Latencies are log-normal
around 40 ms; answers have one of eight labels and a score.

Arms have moods. "independent": every answer for itself. "lag-1 requests": an answer resembles the one before it in its
arm with correlation 0.3; after an error the next is one with probability 0.3. "lag-1 intervals": each arm drifts by
itself, so that the means of its intervals have a lag-1 correlation of 0.3; that makes them vary twice as much as those
of independent answers, and sums of many intervals five times as much. "waves": load that hits all arms at once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lepton_ai.counts import ArmCounts, LabelCounts, ScoreBins, Sketch
from lepton_ai.counts.bins import BINS

MOODS = ("independent", "lag-1 requests", "lag-1 intervals", "waves")
LABELS = 8
_LAG_1 = 0.3
_DRIFT_MEMORY = 0.6
"""With as much variance of the drift as of the sampling, half of this is the lag-1 correlation of interval means."""
_MEDIAN_S, _SIGMA = 0.04, 0.4
_PER_LOG = 1 / math.log(1.02 / 0.98)
_SHARES = np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.07, 0.05, 0.03])
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fault:
    """How a version is worse; nothing of it is the healthy one."""

    errors: float = 0.0
    """Share of answers that fail in addition."""
    slower: float = 1.0
    """Factor on all latencies."""
    spread: float = 1.0
    """Factor on the logarithm's deviation: more variance around the same median."""
    tail: float = 0.0
    """Share of answers that take `tail_factor` times as long."""
    tail_factor: float = 4.0
    relabelled: float = 0.0
    """Share of answers of the most frequent label that get the next one."""
    duller: float = 0.0
    """How much lower scores are, in deviations of their logits."""
    begins: int = 0
    """The interval from which on it is so."""
    grows: int = 0
    """Over so many intervals it grows to that."""


@dataclass(frozen=True)
class Scene:
    """A rollout of 5 minutes with a fault and a mood."""

    fault: Fault = Fault()
    mood: str = "independent"
    per_interval: int = 50
    """Requests of the candidate, and of the baseline, on average."""
    rest: int = 900
    """Requests of the other arms."""
    intervals: int = 60
    errors: float = 0.001
    """Share of the old version's answers that fail."""


Interval = tuple[ArmCounts, ArmCounts, ArmCounts]
"""Candidate, baseline, all others with the baseline."""


class _Arm:
    """One arm with its mood."""

    def __init__(self, scene: Scene, dice: np.random.Generator) -> None:
        self._scene, self._dice = scene, dice
        self._drift = dice.normal(size=4)
        self._last = dice.normal(size=2)
        self._failing = False
        self._label = 0

    def serve(self, requests: int, fault: Fault, strength: float, wave: float) -> ArmCounts:
        """Answer so many requests with so much of the fault."""
        count = int(self._dice.poisson(requests))
        self._drift = _DRIFT_MEMORY * self._drift + math.sqrt(1 - _DRIFT_MEMORY**2) * self._dice.normal(size=4)
        moody = self._scene.mood == "lag-1 intervals"
        drift = self._drift / math.sqrt(max(requests, 1)) if moody else np.zeros(4)
        share = self._scene.errors * math.exp(2 * wave + 3 * drift[2]) + fault.errors * strength
        failed = self._failures(count, min(share, 1.0))
        served = count - failed
        return ArmCounts(
            count,
            Counter({"INTERNAL": failed} if failed else {}),
            self._latencies(served, fault, strength, drift[0] + wave),
            self._labels(served, fault.relabelled * strength, drift[3]),
            self._scores(served, drift[1] - fault.duller * strength),
        )

    def _failures(self, count: int, share: float) -> int:
        if self._scene.mood != "lag-1 requests":
            return int(self._dice.binomial(count, share))
        fails = self._dice.random(count)
        failed = 0
        for each in fails:
            self._failing = bool(each < (share + _LAG_1 * (1 - share) if self._failing else share * (1 - _LAG_1)))
            failed += self._failing
        return failed

    def _normals(self, count: int, series: int) -> Floats:
        noise = self._dice.normal(size=count)
        if self._scene.mood != "lag-1 requests" or not count:
            return noise
        noise *= math.sqrt(1 - _LAG_1**2)
        value = self._last[series]
        for index in range(count):
            value = noise[index] = _LAG_1 * value + noise[index]
        self._last[series] = value
        return noise

    def _latencies(self, count: int, fault: Fault, strength: float, level: float) -> Sketch:
        spread = _SIGMA * (1 + (fault.spread - 1) * strength)
        logs = math.log(_MEDIAN_S) + spread * (self._normals(count, 0) + level)
        logs += math.log(1 + (fault.slower - 1) * strength)
        if fault.tail:
            logs += math.log(fault.tail_factor) * (self._dice.random(count) < fault.tail * strength)
        buckets, counts = np.unique(np.ceil(logs * _PER_LOG).astype(int), return_counts=True)
        return Sketch(dict(zip(buckets.tolist(), counts.tolist(), strict=True)))

    def _labels(self, count: int, relabelled: float, drift: float) -> LabelCounts:
        shares = _SHARES.copy()
        shares[:2] += np.array([1, -1]) * drift * math.sqrt(_SHARES[0] * _SHARES[1])
        moved = relabelled * shares[0]
        shares[:2] += np.array([-moved, moved])
        if self._scene.mood != "lag-1 requests":
            drawn = self._dice.multinomial(count, shares / shares.sum())
        else:
            labels = self._dice.choice(LABELS, size=count, p=shares / shares.sum())
            for index, repeats in enumerate(self._dice.random(count) < _LAG_1):
                self._label = labels[index] = self._label if repeats else labels[index]
            drawn = np.bincount(labels, minlength=LABELS)
        return LabelCounts({f"label {index}": int(each) for index, each in enumerate(drawn) if each})

    def _scores(self, count: int, level: float) -> ScoreBins:
        scores = 1 / (1 + np.exp(-(1.5 + self._normals(count, 1) + level)))
        return ScoreBins(np.bincount(np.minimum((scores * BINS).astype(int), BINS - 1), minlength=BINS).tolist())


def rollout(scene: Scene, seed: int) -> Iterator[Interval]:
    """The counts of each interval."""
    dice = np.random.default_rng(seed)
    candidate, baseline, rest = (_Arm(scene, dice) for _ in range(3))
    wave, healthy = 0.0, Fault()
    for index in range(scene.intervals):
        if scene.mood == "waves":
            wave = _DRIFT_MEMORY * wave + 0.8 * dice.normal() * 0.8
        strength = strength_at(scene.fault, index)
        ours = candidate.serve(scene.per_interval, scene.fault, strength, wave)
        theirs = baseline.serve(scene.per_interval, healthy, 0.0, wave)
        yield ours, theirs, theirs + rest.serve(scene.rest, healthy, 0.0, wave) if scene.rest else theirs


def strength_at(fault: Fault, interval: int) -> float:
    """How much of the fault there is in an interval."""
    if interval < fault.begins:
        return 0.0
    return min((interval - fault.begins + 1) / fault.grows, 1.0) if fault.grows else 1.0
