"""Gates on how often something happens: errors, bad feedback, latencies above a quantile, shadows that disagree."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable

from lepton_ai.counts import ArmCounts, Sketch
from lepton_ai.counts.sketch import bucket_of
from services.registry.rollouts.judging import bounds
from services.registry.rollouts.judging.dispersion import Dispersion
from services.registry.rollouts.judging.evidence import Mixture, limit_gain, odds_gain
from services.registry.rollouts.judging.gates import Gate, Measure
from services.registry.rollouts.judging.watch import Arms, Watch, percent

_RARE = {1.5: 0.05, 2.0: 0.07, 3.0: 0.08, 5.0: 0.1, 10.0: 0.2, 30.0: 0.2, 100.0: 0.3}
"""Odds of an error of the candidate's against the others' → weight. Most bad versions are far worse than a little: so
nine errors against none are enough between arms of equal size."""
_COMMON = {1.25: 0.2, 1.5: 0.2, 2.0: 0.2, 3.0: 0.2, 5.0: 0.1, 10.0: 0.1}
_BURST = 3.0
Events = tuple[int, int]
"""How often it happened, of how many."""


class SharesWatch(Watch):
    """The share of the candidate's answers that are an event, against that of all other arms."""

    against = "the others"

    def __init__(self, gate: Gate, candidate: str) -> None:
        # Errors start from independence, as the first few must count; what is seen of bursts is learned.
        super().__init__(gate, candidate, Mixture(list(_RARE.values())), Dispersion(1.0, 6.0))

    @abstractmethod
    def events(self, counts: ArmCounts) -> Events:
        """What is counted of an arm."""

    @abstractmethod
    def verb(self) -> str:
        """What the answers did that are counted."""

    def look(self, interval: Arms, recent: Arms) -> None:
        """Our share of all events, given our share of all answers."""
        ours, theirs = self.events(interval.candidate), self.events(interval.others)
        gains = [_damped(odds_gain(*ours, *theirs, odds)) for odds in _RARE]
        self._mixture.add(gains, dispersion=self._dispersion.value)
        self._dispersion.note_burst(theirs[0])
        note(self._dispersion, ours, self.events(interval.baseline), self.events(interval.rest))

    def samples(self, arms: Arms) -> tuple[int, int]:
        """Answers of the candidate and of all others."""
        return self.events(arms.candidate)[1], self.events(arms.others)[1]

    def excess(self, arms: Arms) -> float:
        """The difference of the shares."""
        (ours, our_total), (theirs, their_total) = self.events(arms.candidate), self.events(arms.others)
        return ours / our_total - theirs / their_total if our_total and their_total else 0.0

    def proof(self, arms: Arms) -> Callable[[float], bool]:
        """The upper bound of the difference is within the margin."""
        numbers = (*self.events(arms.candidate), *self.events(arms.others))
        return lambda times: bounds.difference_bound(*(times * each for each in numbers)) <= self.gate.margin

    def describe(self, arms: Arms) -> str:
        """Both shares."""
        (ours, our_total), (theirs, their_total) = self.events(arms.candidate), self.events(arms.others)
        share, other = percent(ours / max(our_total, 1)), percent(theirs / max(their_total, 1))
        their = f"{other} of {their_total:,} of {self.against}"
        return f"{share} of {our_total:,} {self.unit} of {self._candidate} {self.verb()}, {their}"


class ErrorsWatch(SharesWatch):
    """Answers that are errors."""

    def events(self, counts: ArmCounts) -> Events:
        """Errors of all answers."""
        return counts.failed(apart_from=self.gate.ignored_codes), counts.answers

    def verb(self) -> str:
        """They failed."""
        return "failed"


class FeedbackWatch(SharesWatch):
    """Answers that people called wrong."""

    unit = "rated answers"

    def events(self, counts: ArmCounts) -> Events:
        """Bad ones of all that were rated."""
        return counts.bad, counts.good + counts.bad

    def verb(self) -> str:
        """They were rated."""
        return "were called wrong"


class LatencyWatch(Watch):
    """Latencies above the quantile of candidate and baseline together."""

    def __init__(self, gate: Gate, candidate: str) -> None:
        super().__init__(gate, candidate, Mixture(list(_COMMON.values())), Dispersion(_assumed(gate.quantile), 8.0))

    def look(self, interval: Arms, recent: Arms) -> None:
        """Our share of the slow answers, against the baseline of the same minutes."""
        pooled = recent.candidate.latency_s + recent.baseline.latency_s
        bucket = pooled.quantile_bucket(self.gate.quantile)
        if bucket is None:
            return
        if not pooled.count_above(bucket):  # the slowest are all alike: then it is these that are counted
            bucket -= 1
        ours, base, rest = (_above(arm, bucket) for arm in (interval.candidate, interval.baseline, interval.rest))
        gains = [odds_gain(*ours, *base, odds) for odds in _COMMON]
        self._mixture.add(gains, dispersion=self._dispersion.value)
        note(self._dispersion, ours, base, rest)

    def samples(self, arms: Arms) -> tuple[int, int]:
        """Answers without an error."""
        return arms.candidate.latency_s.count, arms.baseline.latency_s.count

    def excess(self, arms: Arms) -> float:
        """How much greater the quantile is, as a share of the baseline's."""
        ours, theirs = self._quantiles(arms)
        return ours / theirs - 1 if theirs else 0.0

    def matters(self, arms: Arms) -> bool:
        """Whether the difference is neither a small share nor a short time."""
        ours, theirs = self._quantiles(arms)
        return super().matters(arms) and ours - theirs > self.gate.negligible_s

    def proof(self, arms: Arms) -> Callable[[float], bool]:
        """Above the quantile of the candidate and of the baseline times the margin there is more of the latter."""
        theirs = self._quantiles(arms)[1]
        margin = max(self.gate.margin, self.gate.negligible_s / theirs if theirs else 0.0)
        allowed = arms.baseline.latency_s.scaled(1 + margin)
        candidate = arms.candidate.latency_s
        bucket = (candidate + allowed).quantile_bucket(self.gate.quantile)
        if bucket is None:
            return lambda _: False
        numbers = (_beyond(candidate, bucket), candidate.count, _beyond(allowed, bucket), allowed.count)
        return lambda times: bounds.difference_bound(*(times * each for each in numbers)) <= 0

    def describe(self, arms: Arms) -> str:
        """Both quantiles."""
        ours, theirs = self._quantiles(arms)
        our_total, their_total = self.samples(arms)
        name = f"p{100 * self.gate.quantile:g}"
        their = f"{1000 * theirs:.3g} ms in {their_total:,} of the baseline"
        return f"The {name} latency is {1000 * ours:.3g} ms in {our_total:,} answers of {self._candidate}, {their}"

    def _quantiles(self, arms: Arms) -> tuple[float, float]:
        quantile = self.gate.quantile
        ours, theirs = arms.candidate.latency_s.quantile(quantile), arms.baseline.latency_s.quantile(quantile)
        return ours or 0.0, theirs or 0.0


class LimitWatch(Watch):
    """Of a shadow: answers that are too far from those returned, or have another label, against a fixed limit."""

    def __init__(self, gate: Gate, candidate: str) -> None:
        super().__init__(gate, candidate, Mixture(list(_COMMON.values())), Dispersion(2.0, 8.0))

    def events(self, counts: ArmCounts) -> Events:
        """Answers that differ too much, of all that were compared."""
        if self.gate.measure is Measure.DISAGREEMENT:
            return counts.disagreeing, counts.compared
        return counts.distances.count_above(bucket_of(self.gate.tolerance)), counts.distances.count

    def look(self, interval: Arms, recent: Arms) -> None:
        """Against the limit."""
        events, total = self.events(interval.candidate)
        gains = [limit_gain(events, total, self.gate.margin, odds) for odds in _COMMON]
        self._mixture.add(gains, dispersion=self._dispersion.value)

    def samples(self, arms: Arms) -> tuple[int, int]:
        """Answers that were compared; both sides of a comparison are there."""
        return (self.events(arms.candidate)[1],) * 2

    def excess(self, arms: Arms) -> float:
        """The share of those that differ."""
        events, total = self.events(arms.candidate)
        return events / total if total else 0.0

    def proof(self, arms: Arms) -> Callable[[float], bool]:
        """The upper bound of that share is within the limit."""
        events, total = self.events(arms.candidate)
        return lambda times: bounds.wilson(times * events, times * total)[1] <= self.gate.margin

    def describe(self, arms: Arms) -> str:
        """The share of those that differ."""
        total = self.samples(arms)[0]
        differ = "have another label than" if self.gate.measure is Measure.DISAGREEMENT else "are too far from"
        share, limit = percent(self.excess(arms)), percent(self.gate.margin)
        return f"{share} of {total:,} answers of {self._candidate} {differ} those returned, where {limit} may"


def note(dispersion: Dispersion, ours: Events, base: Events, rest: Events) -> None:
    """Add an interval to what is known of the dispersion."""
    dispersion.note([ours[0]], [base[0]], [rest[0]], (ours[1], base[1], rest[1]))


def _above(counts: ArmCounts, bucket: int) -> Events:
    return counts.latency_s.count_above(bucket), counts.latency_s.count


def _beyond(latency_s: Sketch, bucket: int) -> float:
    """What is above a bucket and half of what is in it, as latencies may be all alike."""
    return latency_s.count_above(bucket) + latency_s.buckets.get(bucket, 0) / 2


def _damped(gain: float) -> float:
    """A burst of errors within one interval may be one event: what it gains above a factor of twenty counts a third.

    It is less than the whole gain at any time, so the bet stays a fair one.
    """
    return gain if gain <= _BURST else _BURST + (gain - _BURST) / 3


def _assumed(quantile: float) -> float:
    """The dispersion of latencies above a quantile until it is known: an arm's drift moves the median most."""
    return 1 + 3 * math.sqrt(4 * quantile * (1 - quantile))
