"""The connection to one replica: how many calls it carries at once, who waits for a turn, and when it may be closed."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator

import grpc

from lepton_ai.errors import DeadlineExceeded
from lepton_ai.mesh.limits import MAX_CALLS_PER_CONNECTION

_RETIRE_MAX_S = 60.0
_ENDS_ARRIVE_S = 0.1
"""How long after a channel was closed grpc.aio may still hand the ends of cancelled calls to the event loop. What comes
when that loop is closed already is logged as an error, call by call, in whichever loop uses gRPC next."""

_CLEARING_S = 0.1
"""How long a call that was given up keeps its turn. The server counts it until it has cleared it away, and refuses the
connection's further calls over its limit (REFUSED_STREAM): of callers that give up within milliseconds and call again
at once, every second call was refused, and so were patient ones beside them."""


def _was_given_up(error: BaseException) -> bool:
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    return isinstance(error, asyncio.CancelledError)


class Link:
    """A channel to one replica, how many picks use it, and the queue of calls that wait for their turn on it."""

    __slots__ = ("_closed", "_turns", "_under_way", "asked_s", "channel", "idle")

    def __init__(self, channel: grpc.aio.Channel, *, max_calls: int = MAX_CALLS_PER_CONNECTION) -> None:
        self.channel = channel
        self.idle = asyncio.Event()
        self.idle.set()
        self._turns = asyncio.Semaphore(max_calls)
        self._under_way = 0
        self._closed = False
        self.asked_s = -math.inf
        """When the replica was last asked for its load (monotonic)."""

    @property
    def full(self) -> bool:
        """Whether the next call must wait for its turn."""
        return self._turns.locked()

    def enter(self) -> None:
        """Count one more pick."""
        self._under_way += 1
        self.idle.clear()

    def leave(self) -> None:
        """Count one pick less."""
        self._under_way -= 1
        if not self._under_way:
            self.idle.set()

    @contextlib.asynccontextmanager
    async def turn(self, end_s: float) -> AsyncIterator[None]:
        """Wait for a turn and keep it for one call; first come, first served.

        Raises DeadlineExceeded when `end_s` (monotonic seconds) comes first, CancelledError when the channel is closed.
        """
        try:
            if self._turns.locked():
                async with asyncio.timeout(end_s - time.monotonic()):
                    await self._turns.acquire()
            else:
                await self._turns.acquire()  # at once: a timer would only cost
        except TimeoutError:
            raise DeadlineExceeded(
                "The call was not sent: until its time was over, earlier calls of this client had to be answered.",
                reason="NO_TURN",
                fix="Allow more time, make fewer calls at once, or put many examples into one call.",
            ) from None
        if self._closed:
            self._turns.release()
            raise asyncio.CancelledError  # as for the calls that are under way then
        try:
            yield
        except BaseException as error:
            self._release_after(error)
            raise
        self._turns.release()

    def _release_after(self, error: BaseException) -> None:
        if _was_given_up(error) and not self._closed:
            asyncio.get_running_loop().call_later(_CLEARING_S, self._turns.release)
        else:
            self._turns.release()

    async def close(self) -> None:
        """Close the channel; calls under way or in the queue are cancelled."""
        self._closed = True
        cancels = self._under_way > 0
        await self.channel.close()
        if cancels:
            await asyncio.sleep(_ENDS_ARRIVE_S)

    async def retire(self, linger_s: float) -> None:
        """Close the channel of a replica that left, once its calls ended and the holders of streams have been told."""
        try:
            await asyncio.sleep(linger_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETIRE_MAX_S):
                    await self.idle.wait()
        finally:
            await self.close()
