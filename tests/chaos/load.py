"""Callers that ask without a pause for as long as something is done to the platform, and what became of their calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from lepton_ai.errors import LeptonError
from lepton_ai.testing import eventually

Ask = Callable[[], Awaitable[object]]
"""Makes one call and checks its answer."""

CALLERS = 8
_AFTER_FAILURE_S = 0.02
_END_S = 30.0


@dataclass
class Load:
    """What the callers met so far."""

    answers: int = 0
    failures: list[LeptonError] = field(default_factory=list)
    slowest_s: float = 0.0
    _ended: bool = False

    async def more(self, answers: int, *, timeout_s: float = 20.0) -> None:
        """Wait until so many more calls were answered."""
        wanted = self.answers + answers
        description = f"{answers} more answers; {len(self.failures)} calls failed, last {self.failures[-1:]}"
        await eventually(lambda: self.answers >= wanted, timeout_s=timeout_s, description=description)

    def end(self) -> None:
        """Let every caller finish the call it is in."""
        self._ended = True

    async def call(self, ask: Ask) -> None:
        """One caller. A wrong answer ends it with AssertionError; an error of the platform is counted."""
        while not self._ended:
            began_s = time.monotonic()
            try:
                await ask()
            except LeptonError as error:
                self.failures.append(error)
                await asyncio.sleep(_AFTER_FAILURE_S)
            else:
                self.answers += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)


@asynccontextmanager
async def load(*asks: Ask, callers: int = CALLERS) -> AsyncIterator[Load]:
    """Run `callers` callers, spread over `asks`, while the block runs; wrong answers fail it at its end."""
    running = Load()
    tasks = [asyncio.create_task(running.call(asks[number % len(asks)])) for number in range(callers)]
    try:
        await running.more(5 * callers)
        yield running
    finally:
        running.end()
        async with asyncio.timeout(_END_S):
            results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
