"""A discrete-event simulation of replicas, clients that balance over them, and antagonists that slow some down.

The clients run the real Balancer (or a rival of it) and the real RetryBudget on the simulation's clock. A replica
serves two calls at a time, first come first served, and refuses a call when 64 wait; service times are log-normal with
a mean of 20 ms. A call is worth a second: then its caller leaves, and a replica drops it when its turn comes. A refused
call is tried at up to two other replicas, within the budget. Every answer and refusal carries the replica's load.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from lepton_ai.mesh.calling.balancer import Balancer, Outcome, Ticket
from lepton_ai.mesh.load import Load
from lepton_ai.mesh.retry import MAX_ATTEMPTS, RetryBudget

WORKERS = 2
MEAN_S = 0.02
_SIGMA = 0.5
_MAX_WAITING = 64
_DEADLINE_S = 1.0
_NETWORK_S = 0.0002
_SLOWDOWN = 5.0
_STRETCH_S = 5.0
"""For so long antagonists slow their replicas down, then for as long nobody, then others."""
_WARM_UP_S = 5.0
_LATENCY_KEPT_S = 2.0


class Policy(Protocol):
    """Makes the balancer of one client; `replicas` are for those that look at them, as a probe would."""

    def __call__(
        self, replicas: dict[str, Replica], clock: Callable[[], float], uniform: Callable[[], float]
    ) -> Balancer: ...


@dataclass(frozen=True)
class Scene:
    """What is simulated."""

    load: float
    """Calls offered, as a share of what the replicas can serve on average, antagonists included."""
    replicas: int = 20
    clients: int = 4
    antagonists: int = 1
    seconds: float = 30.0


@dataclass
class Tally:
    """What the callers saw after the warm-up."""

    offered: int = 0
    failed: int = 0
    requests: int = 0
    latencies_s: list[float] = field(default_factory=list)

    def quantile_s(self, share: float) -> float:
        """The latency that this share of the answered calls stayed below."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def goodput(self) -> float:
        """The share of the calls that was answered in time."""
        return len(self.latencies_s) / self.offered


class Call:
    """One call of a client, over all its attempts."""

    __slots__ = ("arrived_s", "client", "done", "found", "start_s", "ticket", "tried", "work_s")

    def __init__(self, client: int, start_s: float, work_s: float) -> None:
        self.client = client
        self.start_s = start_s
        self.work_s = work_s
        self.tried: list[str] = []
        self.done = False
        self.ticket: Ticket | None = None
        self.arrived_s = 0.0
        self.found = 0


class Replica:
    """A server with some workers and a queue."""

    def __init__(self) -> None:
        self.free = WORKERS
        self.waiting: deque[Call] = deque()
        self.slowdown = 1.0
        self.in_flight = 0
        self._latency_by_load: dict[int, tuple[float, float]] = {}

    def learn(self, found: int, latency_s: float, now: float) -> None:
        """Note how long a call took that found so many others here; what is older than two seconds is forgotten."""
        known = self._latency_by_load.get(found, (latency_s, now))[0]
        self._latency_by_load[found] = known + 0.3 * (latency_s - known), now
        fresh = now - _LATENCY_KEPT_S
        self._latency_by_load = {key: each for key, each in self._latency_by_load.items() if each[1] >= fresh}

    def report(self) -> Load:
        """Calls here and the latency of those that found about as many, as Prequal reports it."""
        latency_s, _ = min(
            self._latency_by_load.items(), key=lambda each: abs(each[0] - self.in_flight), default=(0, (MEAN_S, 0.0))
        )[1]
        return Load(self.in_flight, latency_s, WORKERS + _MAX_WAITING)


class Simulation:
    """Runs one scene with one policy."""

    def __init__(self, policy: Policy, scene: Scene, seed: int) -> None:
        self.now_s = 0.0
        self.tally = Tally()
        self._scene = scene
        self._dice = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.replicas = {f"r{number}": Replica() for number in range(scene.replicas)}
        self._balancers = [
            policy(self.replicas, lambda: self.now_s, random.Random(seed * 1000 + number).random)
            for number in range(scene.clients)
        ]
        self._budgets = [RetryBudget(clock=lambda: self.now_s) for _ in self._balancers]
        for balancer in self._balancers:
            balancer.update(self.replicas)
        lost = scene.antagonists * 0.5 * (1 - 1 / _SLOWDOWN)
        self._per_client_s = scene.load * (scene.replicas - lost) * WORKERS / MEAN_S / scene.clients

    def run(self) -> Tally:
        """Simulate the scene from begin to end."""
        for client in range(self._scene.clients):
            self._after(self._gap_s(), partial(self._arrive, client))
        if self._scene.antagonists:
            self._after(2.0, self._slow_some)
        end_s = self._scene.seconds + 2 * _DEADLINE_S
        while self._events and self._events[0][0] < end_s:
            self.now_s, _, act = heapq.heappop(self._events)
            act()
        return self.tally

    def _after(self, delay_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now_s + delay_s, next(self._order), act))

    def _gap_s(self) -> float:
        return self._dice.expovariate(self._per_client_s)

    def _slow_some(self) -> None:
        chosen = self._dice.sample(sorted(self.replicas), self._scene.antagonists)
        for name in chosen:
            self.replicas[name].slowdown = _SLOWDOWN

        def end() -> None:
            for name in chosen:
                self.replicas[name].slowdown = 1.0
            self._after(_STRETCH_S, self._slow_some)

        self._after(_STRETCH_S, end)

    def _arrive(self, client: int) -> None:
        if self.now_s >= self._scene.seconds:
            return
        self._after(self._gap_s(), lambda: self._arrive(client))
        call = Call(client, self.now_s, self._dice.lognormvariate(math.log(MEAN_S) - _SIGMA**2 / 2, _SIGMA))
        self.tally.offered += self._counts(call)
        self._budgets[client].deposit()
        self._send(call)
        self._after(_DEADLINE_S, lambda: self._end(call, Outcome.TIMED_OUT))

    def _send(self, call: Call) -> None:
        ticket = call.ticket = self._balancers[call.client].pick(call.tried)
        if ticket is None:
            self._end(call, Outcome.FAILED)
            return
        call.tried.append(ticket.address)
        self.tally.requests += self._counts(call)
        self._after(_NETWORK_S, lambda: self._reach(call, self.replicas[call.tried[-1]]))

    def _reach(self, call: Call, replica: Replica) -> None:
        call.arrived_s, call.found = self.now_s, replica.in_flight
        if replica.free:
            replica.in_flight += 1
            replica.free -= 1
            self._serve(call, replica)
        elif len(replica.waiting) < _MAX_WAITING:
            replica.in_flight += 1
            replica.waiting.append(call)
        else:
            load = replica.report()
            self._after(_NETWORK_S, lambda: self._refused(call, load))

    def _serve(self, call: Call, replica: Replica) -> None:
        self._after(call.work_s * replica.slowdown, lambda: self._served(call, replica))

    def _served(self, call: Call, replica: Replica) -> None:
        replica.in_flight -= 1
        replica.free += 1
        replica.learn(call.found, self.now_s - call.arrived_s, self.now_s)
        while replica.waiting:
            following = replica.waiting.popleft()
            if not following.done:
                replica.free -= 1
                self._serve(following, replica)
                break
            replica.in_flight -= 1
        load = replica.report()
        self._after(_NETWORK_S, lambda: self._end(call, Outcome.SUCCEEDED, load))

    def _refused(self, call: Call, load: Load) -> None:
        if len(call.tried) >= MAX_ATTEMPTS or not self._budgets[call.client].withdraw():
            self._end(call, Outcome.REFUSED, load)
        elif not call.done:
            self._tell(call, Outcome.REFUSED, load)
            self._send(call)

    def _end(self, call: Call, outcome: Outcome, load: Load | None = None) -> None:
        if call.done:
            return
        call.done = True
        self._tell(call, outcome, load)
        if not self._counts(call):
            return
        if outcome is Outcome.SUCCEEDED:
            self.tally.latencies_s.append(self.now_s - call.start_s)
        else:
            self.tally.failed += 1

    def _tell(self, call: Call, outcome: Outcome, load: Load | None) -> None:
        if call.ticket is not None:
            if load is not None:
                self._balancers[call.client].report(call.ticket.address, load)
            call.ticket.finish(outcome)

    def _counts(self, call: Call) -> bool:
        return call.start_s >= _WARM_UP_S
