"""Calls that end when Triton answers, not when somebody stops waiting.

Triton 2.51 crashes (SIGSEGV) when inferences are cancelled or reach their deadline in gRPC: some hundred such calls at
once kill it within seconds. Its other calls survive both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from lepton_ai.errors import DeadlineExceeded

T = TypeVar("T")


class OpenCalls:
    """The calls of one channel. A waiter may give up at any time; its call goes on, and the answer is thrown away."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """Calls that have no answer yet."""
        return len(self._tasks)

    async def answer(self, call: Coroutine[Any, Any, T], *, timeout_s: float) -> T:
        """What `call` returns or raises. Raises DeadlineExceeded after `timeout_s`."""
        task = asyncio.ensure_future(call)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait((task,), timeout=timeout_s)  # unlike wait_for, it leaves alone what it waits for
        if not task.done():
            raise DeadlineExceeded("The model did not answer in time.", fix="Allow more time or send smaller batches.")
        return task.result()

    async def all_answered(self, *, timeout_s: float) -> bool:
        """Wait until no call is open, at most `timeout_s`; returns whether none is."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        return not self._tasks

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # asyncio reports errors that nobody looks at, and nobody may be waiting any more
