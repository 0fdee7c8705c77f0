"""One call on its way through the service: its deadline, priority and trace; and ids for calls that came without."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

import grpc
from opentelemetry import trace
from opentelemetry.context import Context

from lepton_ai.errors import DeadlineExceeded
from lepton_ai.mesh.serving.deadline import is_out_of_time
from lepton_ai.mesh.serving.metadata import text_of
from lepton_ai.mesh.serving.tenant import tenant_of
from lepton_ai.v1 import inference_pb2

T = TypeVar("T")


class Priority(IntEnum):
    """Who goes first, and who is shed last."""

    LIVE = 0
    BULK = 1


def _nothing(_: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as far as the metadata of a call or a stream say."""

    tenant: str = ""
    """On whose behalf."""
    named: Callable[[str], str] = _nothing
    """What the metadata say under any other name; empty for nothing."""

    @classmethod
    def of(cls, context: grpc.aio.ServicerContext[Any, Any]) -> Caller:
        """The caller of an RPC."""
        return cls(tenant_of(context), partial(text_of, context))


NOBODY = Caller()


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """What every stage needs to know about the call it works for."""

    deadline: float
    """Monotonic seconds."""
    context: Context
    arrived_at: float
    priority: Priority = Priority.LIVE
    caller: Caller = NOBODY
    from_stream: bool = False
    """Whether it came in a stream, where it has waited for room instead of being refused."""

    @classmethod
    def arrive(
        cls,
        *,
        timeout_s: float,
        context: Context,
        priority: Priority = Priority.LIVE,
        caller: Caller = NOBODY,
        from_stream: bool = False,
    ) -> Call:
        """A call that came in just now with so much time left."""
        now = time.monotonic()
        return cls(now + timeout_s, context, now, priority, caller, from_stream)

    @property
    def tenant(self) -> str:
        """On whose behalf it is made."""
        return self.caller.tenant

    @property
    def is_out_of_time(self) -> bool:
        """Whether a caller that leaves now does so as its time is over."""
        now_s = time.monotonic()
        return is_out_of_time(now_s - self.arrived_at, self.deadline - now_s)

    def until(self, deadline: float) -> Call:
        """The same call with this deadline."""
        return self if deadline == self.deadline else replace(self, deadline=deadline)

    @property
    def recorded_context(self) -> Context | None:
        """The context when the call is sampled and recorded here; else None, and spans cost nothing."""
        return self.context if trace.get_current_span(self.context).is_recording() else None

    def bounded(self) -> AbstractAsyncContextManager[None]:
        """Cancel the block at the deadline. Raises DeadlineExceeded then."""
        return _Bounded(self.deadline)


class _Bounded:
    """The block of `bounded`: asyncio.timeout with a deadline, for half its price, as every call goes through it."""

    __slots__ = ("_cancelling", "_deadline", "_is_late", "_task", "_timer")

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._is_late = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine of asyncio runs in one
        self._task = task
        self._cancelling = task.cancelling()
        left_s = self._deadline - time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(max(0.0, left_s), self._expire)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._is_late:
            # As in asyncio.timeout: when somebody else has cancelled the task as well, that is what counts.
            is_ours = self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError
            if is_ours:
                raise _late() from None
        if kind is not None and issubclass(kind, TimeoutError):
            raise _late() from None

    def _expire(self) -> None:
        self._is_late = True
        self._task.cancel()


def _late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "The call did not finish in the time it was given.", fix="Allow more time or send less at once."
    )


def priority_of(priority: inference_pb2.Priority.ValueType) -> Priority:
    """The queue's priority for that of a request."""
    return Priority.BULK if priority == inference_pb2.PRIORITY_BATCH else Priority.LIVE


def make_id() -> str:
    """A new id: 32 hex digits, later ones sort after earlier ones (48 bits of milliseconds, 80 random ones)."""
    # Unique, not secret, so Python's own generator will do: the system's would cost a system call each time.
    return f"{time.time_ns() // 1_000_000:012x}{random.getrandbits(80):020x}"


async def gather_all(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all, run side by side. Raises the first error, after the others have been cancelled.

    Not a TaskGroup: in Python 3.11 and 3.12 one whose child fails leaves `cancelling()` of the task that waits above
    zero, and gRPC sends no answer for a handler that takes itself for cancelled.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
