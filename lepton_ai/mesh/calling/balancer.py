"""Which replica gets the next call: the best of two or three by peak-EWMA latency × load, with ejection of the broken.

Pure: no I/O, no tasks, the clock and the dice are passed in. Used from one event loop.

Sources: Finagle's and Linkerd's peak EWMA, Linkerd's charge for failures (without it a replica that fails fast looks
fast and draws all the traffic), its failure accrual with probation, and Envoy's bound on how many may be ejected.
Measured by `python -m benchmarks balancing` (docs/balancing.md): three choices have a shorter tail than two as long as
what is known of the third is fresh, else many clients run after the same replica; the loads that replicas report on
their answers are too old to choose by, so they only tell when the pool has too much to do.
"""

from __future__ import annotations

import enum
import math
import random
import time
from collections.abc import Callable, Collection, Iterable

from lepton_ai.mesh.load import Load
from lepton_ai.mesh.retry import backoff_s

DECAY_S = 2.0
"""How fast a replica's past is forgotten. Shorter than Finagle's 10 s: with two replicas, one slow answer of one would
otherwise leave it idle for half a minute."""
FAILURE_COST_S = 5.0
"""The latency that a failure or a refusal is charged as."""
CHARGE_DECAY_S = 0.5
"""How fast that charge fades. Where replicas answer in 1 to 50 ms, a charged one is tried again after 2 to 4 s: soon
after a restart, yet with far less than one call in a hundred under load."""
FAILURES_TO_EJECT = 5
PROBATION_BASE_S = 1.0
PROBATION_MAX_S = 60.0
REFUSED_LATELY_S = 1.0
"""How long a refusal, or a report of a full replica, counts as news."""
FULL_SHARE = 0.8
"""A replica with so much of its limit in flight is about to refuse."""
OVERLOAD_SHARE = 0.1
"""Where more than this share of the replicas is full or refuses, it is the pool that has too much to do."""

_UNKNOWN_COST_S = 1.0
_NEWCOMER_FACTOR = 3.0
"""A newcomer counts as this much slower than the others until it has answered once: it is tried soon, but with one call
rather than with all."""
_TYPICAL_WEIGHT = 0.1
_FRESH = 5.0
"""A third choice counts when it has answered within so many typical latencies: a client that has few calls for many
replicas does better with two."""
_LEAST_COST_S = 1e-4


class Outcome(enum.Enum):
    """How a call to a replica ended, as far as the choice of replicas is concerned."""

    SUCCEEDED = enum.auto()
    ANSWERED = enum.auto()
    """It answered with an error of the caller's making, which shows that the replica is alive but not that it is
    fast."""
    REFUSED = enum.auto()
    """It is too busy or not ready: charged, but no reason to eject."""
    TIMED_OUT = enum.auto()
    """The caller's deadline passed: a failure if the replica answered nobody else meanwhile."""
    FAILED = enum.auto()
    OVERTAKEN = enum.auto()
    """Another replica that was asked later answered first, and this call was cancelled: it is at least so slow, and it
    has failed if it answered nobody else meanwhile."""
    ABANDONED = enum.auto()
    """The caller gave up; nothing was learnt."""


class Ticket:
    """One call that is under way at a replica; `finish` it exactly once (more is harmless)."""

    __slots__ = ("_balancer", "_replica", "address", "started_s")

    def __init__(self, balancer: Balancer, replica: _Replica, started_s: float) -> None:
        self._balancer = balancer
        self._replica = replica
        self.address = replica.address
        self.started_s = started_s

    def finish(self, outcome: Outcome) -> None:
        """Tell how the call ended. The time since the pick is its latency."""
        if self._replica.under_way.pop(self, None) is not None:
            self._balancer._record(self, self._replica, outcome)


class _Replica:
    """What is known about one replica."""

    __slots__ = (
        "address", "answered_s", "charged_s", "cost_s", "ejected_s", "failures", "full_s",
        "known", "probe", "readmitted_s", "stamp_s", "strikes", "under_way", "until_s",
    )  # fmt: skip

    def __init__(self, address: str, now: float) -> None:
        self.address = address
        self.cost_s = _UNKNOWN_COST_S
        self.stamp_s = now
        self.known = False
        # Insertion order is order of start, so the first value is the oldest call that still waits.
        self.under_way: dict[Ticket, float] = {}
        self.answered_s = -math.inf
        self.charged_s: float | None = None
        self.full_s = -math.inf
        self.failures = 0
        self.strikes = 0
        self.ejected_s: float | None = None
        self.until_s = 0.0
        self.readmitted_s = -math.inf
        self.probe: Ticket | None = None

    def load(self, now: float, newcomer_cost_s: float) -> float:
        """Expected wait if one more call is given to it: decayed latency × (calls under way + 1)."""
        cost_s = (self.cost_s if self.known else newcomer_cost_s) * math.exp((self.stamp_s - now) / DECAY_S)
        if self.charged_s is not None:
            cost_s = max(cost_s, FAILURE_COST_S * math.exp((self.charged_s - now) / CHARGE_DECAY_S))
        under_way = self.under_way
        if under_way:
            # It is at least as slow as its oldest call has waited, so a replica that hangs is noticed before anything
            # times out. Without this its cost would fade while nothing comes back.
            cost_s = max(cost_s, now - next(iter(under_way.values())))
        return max(cost_s, _LEAST_COST_S) * (len(under_way) + 1)

    def observe(self, latency_s: float, now: float) -> None:
        """Peak EWMA: up at once, down slowly."""
        if not self.known or latency_s >= self.cost_s:
            self.cost_s = latency_s
        else:
            weight = math.exp((self.stamp_s - now) / DECAY_S)
            self.cost_s = self.cost_s * weight + latency_s * (1 - weight)
        self.known = True
        self.stamp_s = now

    def observe_peak(self, latency_s: float, now: float) -> None:
        """Observe a call that did not succeed: it can show that the replica is slow, never that it is fast."""
        if latency_s > self.cost_s:
            self.observe(latency_s, now)


class Balancer:
    """Chooses among replicas and learns from how calls end.

    A replica that failed five times in a row is ejected: no calls for a second, then one call as a probe, and twice as
    long after each failed probe. At most half of the replicas are ejected at a time, so a single one never is.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, uniform: Callable[[], float] = random.random
    ) -> None:
        """`uniform` throws the dice: each call returns a number in [0, 1)."""
        self._clock = clock
        self._uniform = uniform
        self._replicas: dict[str, _Replica] = {}
        self._active: list[_Replica] = []
        self._next_probe_s = math.inf
        self._typical_s: float | None = None
        self._newcomer_cost_s = _UNKNOWN_COST_S

    @property
    def addresses(self) -> frozenset[str]:
        return frozenset(self._replicas)

    @property
    def ejected(self) -> frozenset[str]:
        """Replicas that get no calls now, only a probe when their time comes."""
        return frozenset(replica.address for replica in self._replicas.values() if replica.ejected_s is not None)

    @property
    def under_way(self) -> dict[str, int]:
        """How many calls of ours each replica is working on."""
        return {replica.address: len(replica.under_way) for replica in self._replicas.values()}

    @property
    def overloaded(self) -> bool:
        """Whether so many replicas refuse calls, or are about to, that the pool has too much to do: no time for calls
        that need not be made."""
        since_s = self._clock() - REFUSED_LATELY_S
        full = sum(replica.full_s > since_s for replica in self._replicas.values())
        return full > OVERLOAD_SHARE * len(self._replicas)

    def has_room(self, exclude: Collection[str]) -> bool:
        """Whether there is a replica in use, none of `exclude`, that has not been too busy lately."""
        since_s = self._clock() - REFUSED_LATELY_S
        return any(replica.full_s <= since_s and replica.address not in exclude for replica in self._active)

    def report(self, address: str, load: Load) -> None:
        """What a replica said of its load on an answer."""
        replica = self._replicas.get(address)
        if replica is not None and load.in_flight >= FULL_SHARE * load.limit:
            replica.full_s = self._clock()

    def update(self, addresses: Iterable[str]) -> None:
        """The replicas that there are now. What is known about those that stay is kept."""
        now = self._clock()
        wanted = dict.fromkeys(addresses)
        self._replicas = {address: self._replicas.get(address) or _Replica(address, now) for address in wanted}
        ejected = [replica for replica in self._replicas.values() if replica.ejected_s is not None]
        surplus = len(ejected) - len(self._replicas) // 2
        for replica in sorted(ejected, key=lambda each: each.until_s)[: max(0, surplus)]:
            self._readmit(replica, now)
        self._sort()

    def pick(self, exclude: Collection[str] = ()) -> Ticket | None:
        """The replica for the next call, never one of `exclude`; None when there is no other.

        When all that could be chosen are ejected, they are used all the same.
        """
        now = self._clock()
        if now >= self._next_probe_s:
            due = self._due_for_probe(now, exclude)
            if due is not None:
                due.probe = self._start(due, now)
                self._sort()
                return due.probe
        candidates = self._active
        if exclude or not candidates:
            candidates = [replica for replica in candidates if replica.address not in exclude] or [
                replica for replica in self._replicas.values() if replica.address not in exclude
            ]
            if not candidates:
                return None
        return self._start(self._choose(candidates, now), now)

    def _choose(self, candidates: list[_Replica], now: float) -> _Replica:
        """The less loaded of two different ones, or a third one that has answered just now and is better still."""
        count = len(candidates)
        if count == 1:
            return candidates[0]
        uniform, newcomer_cost_s = self._uniform, self._newcomer_cost_s
        first = int(uniform() * count)
        # Those drawn before are left out of each further draw.
        second = int(uniform() * (count - 1))
        second += second >= first
        best, other = candidates[first], candidates[second]
        least, load = best.load(now, newcomer_cost_s), other.load(now, newcomer_cost_s)
        if load < least:
            best, least = other, load
        if count > 2 and self._typical_s is not None:
            low, high = (first, second) if first < second else (second, first)
            draw = int(uniform() * (count - 2))
            draw += draw >= low
            draw += draw >= high
            third = candidates[draw]
            if third.answered_s >= now - _FRESH * self._typical_s and third.load(now, newcomer_cost_s) < least:
                return third
        return best

    def _start(self, replica: _Replica, now: float) -> Ticket:
        ticket = Ticket(self, replica, now)
        replica.under_way[ticket] = now
        return ticket

    def _due_for_probe(self, now: float, exclude: Collection[str]) -> _Replica | None:
        for replica in self._replicas.values():
            waits = replica.ejected_s is not None and replica.probe is None and replica.until_s <= now
            if waits and replica.address not in exclude:
                return replica
        return None

    def _record(self, ticket: Ticket, replica: _Replica, outcome: Outcome) -> None:
        now = self._clock()
        latency_s = now - ticket.started_s
        if outcome is Outcome.FAILED or (outcome is Outcome.TIMED_OUT and replica.answered_s < ticket.started_s):
            replica.charged_s = now
            replica.observe_peak(latency_s, now)
            self._count_failure(ticket, replica, now)
        elif outcome is Outcome.TIMED_OUT:
            replica.observe_peak(latency_s, now)
        elif outcome is Outcome.OVERTAKEN:
            replica.observe_peak(latency_s, now)
            if replica.answered_s < ticket.started_s:
                self._count_failure(ticket, replica, now)
        elif outcome is not Outcome.ABANDONED:
            self._count_answer(ticket, replica, now)
            if outcome is Outcome.SUCCEEDED:
                replica.observe(latency_s, now)
                self._learn_typical(latency_s)
            else:
                if outcome is Outcome.REFUSED:
                    replica.charged_s = replica.full_s = now
                replica.observe_peak(latency_s, now)
        if replica.probe is ticket:
            replica.probe = None
            self._sort()

    def _count_answer(self, ticket: Ticket, replica: _Replica, now: float) -> None:
        replica.failures = 0
        replica.answered_s = now
        if replica.ejected_s is not None and ticket.started_s >= replica.ejected_s:
            self._readmit(replica, now)
            self._sort()

    def _learn_typical(self, latency_s: float) -> None:
        typical_s = latency_s if self._typical_s is None else self._typical_s
        self._typical_s = typical_s + _TYPICAL_WEIGHT * (latency_s - typical_s)
        self._newcomer_cost_s = max(_NEWCOMER_FACTOR * self._typical_s, _LEAST_COST_S)

    def _count_failure(self, ticket: Ticket, replica: _Replica, now: float) -> None:
        replica.failures += 1
        if replica.ejected_s is not None:
            # Only a failed probe prolongs the ejection: calls that were under way when it began tell nothing new.
            if replica.probe is ticket:
                self._eject(replica, now)
        elif replica.failures >= FAILURES_TO_EJECT and self._may_eject(replica):
            self._eject(replica, now)

    def _may_eject(self, replica: _Replica) -> bool:
        is_member = self._replicas.get(replica.address) is replica
        return is_member and len(self._replicas) - len(self._active) < len(self._replicas) // 2

    def _eject(self, replica: _Replica, now: float) -> None:
        if replica.ejected_s is None and now - replica.readmitted_s > PROBATION_MAX_S:
            replica.strikes = 0  # it was healthy long enough to start again from zero
        replica.strikes += 1
        replica.ejected_s = now
        replica.until_s = now + backoff_s(
            replica.strikes, base_s=PROBATION_BASE_S, max_s=PROBATION_MAX_S, uniform=self._uniform
        )
        self._sort()

    def _readmit(self, replica: _Replica, now: float) -> None:
        replica.ejected_s = None
        replica.probe = None
        replica.failures = 0
        replica.readmitted_s = now
        # Treat it as a newcomer: its next answer counts in full, and earlier charges are dropped.
        replica.known = False
        replica.stamp_s = now
        replica.charged_s = None

    def _sort(self) -> None:
        """Rebuild what `pick` reads, so that picking costs the same however many are ejected."""
        replicas = self._replicas.values()
        self._active = [replica for replica in replicas if replica.ejected_s is None]
        waiting = [replica.until_s for replica in replicas if replica.ejected_s is not None and replica.probe is None]
        self._next_probe_s = min(waiting, default=math.inf)
