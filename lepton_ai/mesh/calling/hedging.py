"""Hedges: a second request to another replica when the first takes longer than such calls usually do.

Sources: Dean and Barroso, The Tail at Scale (CACM 2013): asked again after the 95th percentile, the tail shrinks for
about 5 % more load; gRPC proposal A6: hedges go to another server and share the budget of retries.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

HEDGED_SHARE = 0.05
"""How many calls may be made twice."""
_BURST = 5.0
"""Hedges that may come at once after a time without any."""
_QUANTILE = 0.95
_REMEMBERED = 200
_LEAST_KNOWN = 40
_SORT_EVERY = 20
_MAX_KINDS = 256


class UsualLatency:
    """The 95th percentile of the recent latencies of one kind of call."""

    __slots__ = ("_delay_s", "_recent", "_unsorted")

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=_REMEMBERED)
        self._unsorted = 0
        self._delay_s: float | None = None

    @property
    def delay_s(self) -> float | None:
        """After which time a call is slow; None while too few are known."""
        return self._delay_s

    def observe(self, latency_s: float) -> None:
        """Learn from a call that was answered after this time."""
        self._recent.append(latency_s)
        self._unsorted += 1
        if self._unsorted >= _SORT_EVERY and len(self._recent) >= _LEAST_KNOWN:
            self._unsorted = 0
            self._delay_s = sorted(self._recent)[int(_QUANTILE * len(self._recent))]


class HedgeBudget:
    """At most one call in twenty is made twice: over any N calls there are at most 0.05 · N + 5 hedges."""

    def __init__(self) -> None:
        self._tokens = 0.0

    def deposit(self) -> None:
        """Count one call that might be hedged."""
        self._tokens = min(_BURST, self._tokens + HEDGED_SHARE)

    def withdraw(self) -> bool:
        """Take one hedge if there is one."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Hedging:
    """When the calls of one pool are asked twice: by kind of call, as a large batch takes longer than a small one."""

    def __init__(self) -> None:
        self.budget = HedgeBudget()
        self._kinds: OrderedDict[str, UsualLatency] = OrderedDict()

    def of(self, kind: str) -> UsualLatency:
        """What is known of calls of this kind; of 256 kinds, the ones used last."""
        known = self._kinds.get(kind)
        if known is None:
            known = self._kinds[kind] = UsualLatency()
            if len(self._kinds) > _MAX_KINDS:
                self._kinds.popitem(last=False)
        self._kinds.move_to_end(kind)
        return known


class Attempt(Protocol[T_co]):
    """One request of a call."""

    async def run(self) -> T_co:
        """Send it and wait for the answer."""

    def overtaken(self) -> None:
        """Note that another one was answered first; `run` is cancelled next."""

    def abandoned(self) -> None:
        """Note that nobody waits for it any more; `run` is cancelled next."""


async def race(first: Attempt[T], second: Callable[[], Attempt[T] | None], delay_s: float) -> T:
    """Run `first`, and when it has no answer after `delay_s` what `second` gives, side by side; the loser is cancelled.

    An error of one is waited out by the other. When both fail the first one's error is raised. As long as `first` is
    quick this costs a timer, no task.
    """
    loop = asyncio.get_running_loop()
    scope = asyncio.timeout(None)
    hedge: Attempt[T] | None = None
    task: asyncio.Task[T] | None = None
    racing = True

    def hedge_now() -> None:
        nonlocal hedge, task
        hedge = second()
        if hedge is not None:
            task = loop.create_task(hedge.run())
            task.add_done_callback(decide)

    def decide(done: asyncio.Task[T]) -> None:
        if not done.cancelled() and done.exception() is None and racing:
            first.overtaken()
            scope.reschedule(loop.time())

    timer = loop.call_later(delay_s, hedge_now)
    try:
        async with scope:
            try:
                return await first.run()
            finally:
                racing = False
                timer.cancel()
    except Exception:  # that of first, or the scope's: overtaken
        if task is None:
            raise
        await asyncio.wait((task,))
        if task.cancelled() or task.exception() is not None:
            raise
        return task.result()
    finally:
        if task is not None and hedge is not None and not task.done():
            hedge.abandoned()
            task.cancel()
