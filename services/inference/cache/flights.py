"""Single flight: what several callers want at the same time is computed once, for as long as one of them waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from lepton_ai.errors import DeadlineExceeded, LeptonError, Unavailable
from services.inference.call import Call

V = TypeVar("V")
Compute = Callable[[Call], Awaitable[Sequence[V | LeptonError]]]
"""Gives the value or the own error of every key of a flight, in order; what it raises, all get. The call says
until when and how urgently."""


class Flight(Generic[V]):
    """One computation of some keys. It is not any caller's own: it ends when it is done or nobody waits any more."""

    def __init__(self, keys: Sequence[bytes], call: Call, compute: Compute[V], ended: Callable[[], None]) -> None:
        """Begins at once. `ended` is called when it takes no more passengers."""
        self.priority = call.priority
        self._call = call
        self._deadline = call.deadline
        self._compute = compute
        self._places = {key: index for index, key in enumerate(keys)}
        self._waiting = 0
        self._left = False
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(lambda task: _over(task, ended))

    def takes(self, call: Call) -> bool:
        """Whether a caller may join: not one that is more urgent than the flight is, nor when it is over."""
        return self.priority <= call.priority and not self._left and not self._task.done()

    def board(self, call: Call) -> None:
        """Count as waiting until `leave`. The flight may last as long as the most patient of those has time."""
        self._deadline = max(self._deadline, call.deadline)
        self._waiting += 1

    def leave(self) -> None:
        """Wait no more. When nobody does, the flight ends."""
        self._waiting -= 1
        if self._waiting == 0:
            self._left = True
            self._task.cancel()

    async def land(self, key: bytes) -> V | LeptonError:
        """What became of a key. Raises what the whole flight failed with."""
        try:
            landed = await asyncio.shield(self._task)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._task.cancelled() and task is not None and not task.cancelling():
                raise Unavailable("The replica is ending.", reason="REPLICA_ENDS", retry_after_s=0.0) from None
            raise
        return landed[self._places[key]]

    async def _run(self) -> Sequence[V | LeptonError]:
        """Compute within the deadline of who asked first; again with a later one, should somebody have that time."""
        deadline = self._call.deadline
        while (landed := await self._attempt(deadline)) is None:
            deadline = self._deadline
        return landed

    async def _attempt(self, deadline: float) -> Sequence[V | LeptonError] | None:
        """None when something was late and somebody waits who has more time."""
        try:
            landed = await self._compute(self._call.until(deadline))
        except DeadlineExceeded:
            if self._deadline <= deadline:
                raise
            return None
        was_late = any(isinstance(each, DeadlineExceeded) for each in landed)
        return None if was_late and self._deadline > deadline else landed


class Flights(Generic[V]):
    """The flights of one cache."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, Flight[V]] = {}

    def find(self, key: bytes, call: Call) -> Flight[V] | None:
        """The flight that computes this key and that the caller may join."""
        flight = self._by_key.get(key)
        return flight if flight is not None and flight.takes(call) else None

    def begin(self, keys: Sequence[bytes], call: Call, compute: Compute[V]) -> Flight[V]:
        """Compute these keys. A caller boards it before it waits for anything."""

        def ended() -> None:
            for key in keys:
                if self._by_key.get(key) is flight:
                    del self._by_key[key]

        flight = Flight(keys, call, compute, ended)
        for key in keys:
            self._by_key[key] = flight
        return flight

    def __len__(self) -> int:
        return len(self._by_key)


def _over(task: asyncio.Task[Any], ended: Callable[[], None]) -> None:
    if not task.cancelled():
        task.exception()  # seen, or asyncio would complain when nobody waited until the end
    ended()
