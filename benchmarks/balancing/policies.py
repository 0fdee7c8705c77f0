"""Ways to choose a replica, to compare Lepton's balancer with: each is the Balancer with another choice.

What all of them share is real: ejection, probes, charges for failures, retries.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.balancing.simulation import Policy, Replica
from lepton_ai.mesh.calling.balancer import Balancer, Ticket, _Replica
from lepton_ai.mesh.load import Load

_HOT_QUANTILE = 0.84
_REPORT_LASTS_S = 1.0
_SAMPLED = 3

Clock = Callable[[], float]


class RoundRobin(Balancer):
    """One after the other."""

    _turn = 0

    def _choose(self, candidates: list[_Replica], now: float) -> _Replica:
        self._turn += 1
        return candidates[self._turn % len(candidates)]


class TwoChoices(Balancer):
    """The better of two by peak-EWMA latency × calls under way: Lepton's balancer until now, Finagle's, Linkerd's."""

    def _choose(self, candidates: list[_Replica], now: float) -> _Replica:
        return min(_sample(self, candidates, 2), key=lambda each: each.load(now, self._newcomer_cost_s))


class Reported(Balancer):
    """Keeps what replicas said of their load, and adds what this client has sent them since."""

    def __init__(self, *, clock: Clock, uniform: Clock) -> None:
        super().__init__(clock=clock, uniform=uniform)
        self._loads: dict[str, tuple[Load, float]] = {}
        self._sent: dict[str, int] = {}

    def report(self, address: str, load: Load) -> None:
        super().report(address, load)
        self._loads[address] = load, self._clock()
        self._sent[address] = 0

    def _start(self, replica: _Replica, now: float) -> Ticket:
        self._sent[replica.address] = self._sent.get(replica.address, 0) + 1
        return super()._start(replica, now)

    def _load(self, replica: _Replica, now: float) -> tuple[int, float]:
        """Calls that are there, and the latency; of a replica that has not been heard of for a second, our own calls
        and none, so that it is tried again."""
        own = len(replica.under_way)
        load, heard_s = self._loads.get(replica.address, (Load(0, 0.0, 0), -_REPORT_LASTS_S))
        if now - heard_s >= _REPORT_LASTS_S:
            return own, 0.0
        return max(own, load.in_flight + self._sent[replica.address]), load.latency_s


class TwoByReport(Reported):
    """The one of two with fewer calls, as replicas report it."""

    def _choose(self, candidates: list[_Replica], now: float) -> _Replica:
        return min(_sample(self, candidates, 2), key=lambda each: self._load(each, now)[0])


class HotCold(Reported):
    """Prequal's rule (NSDI 2024): of some replicas the quickest whose reported calls do not exceed the pool's 84th
    percentile, or if all do, the one with the fewest."""

    def _choose(self, candidates: list[_Replica], now: float) -> _Replica:
        loads = {each.address: self._load(each, now) for each in candidates}
        hot = sorted(calls for calls, _ in loads.values())[int(_HOT_QUANTILE * len(loads))]

        def rank(replica: _Replica) -> tuple[bool, float]:
            calls, latency_s = loads[replica.address]
            return calls > hot, calls if calls > hot else latency_s

        return min(_sample(self, candidates, _SAMPLED), key=rank)


class ProbedHotCold(HotCold):
    """The same with what the replicas would say at this moment: a bound for probing; the probes cost nothing here."""

    def __init__(self, replicas: dict[str, Replica], *, clock: Clock, uniform: Clock) -> None:
        super().__init__(clock=clock, uniform=uniform)
        self._probed = replicas

    def _load(self, replica: _Replica, now: float) -> tuple[int, float]:
        load = self._probed[replica.address].report()
        return load.in_flight, load.latency_s


def _sample(balancer: Balancer, candidates: list[_Replica], count: int) -> list[_Replica]:
    if len(candidates) <= count:
        return candidates
    chosen: list[_Replica] = []
    while len(chosen) < count:
        candidate = candidates[int(balancer._uniform() * len(candidates))]
        if candidate not in chosen:
            chosen.append(candidate)
    return chosen


def _blind(balancer: type[Balancer]) -> Policy:
    return lambda replicas, clock, uniform: balancer(clock=clock, uniform=uniform)


POLICIES: dict[str, Policy] = {
    "Lepton: best of two or three, peak EWMA": _blind(Balancer),
    "best of two, peak EWMA (before)": _blind(TwoChoices),
    "hot-cold, loads on answers": _blind(HotCold),
    "best of two, loads on answers": _blind(TwoByReport),
    "round robin": _blind(RoundRobin),
    "hot-cold, three free probes a call": lambda replicas, clock, uniform: ProbedHotCold(
        replicas, clock=clock, uniform=uniform
    ),
}
