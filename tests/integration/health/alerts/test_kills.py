"""The alert engine is killed again and again: nobody misses an alert, none is told twice but in one known case."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lepton_ai.testing import eventually
from tests.receiver import Received, receiving

pytestmark = pytest.mark.timeout(600)

KILLS = 200
FAULTS, LIVES = 90, 16
"""Fault n is wrong in the lives 2n to 2n + LIVES of the engine."""
SEED = 7


@dataclass
class Engines:
    """Engines that are started one after the other, each after the one before was killed."""

    process: asyncio.subprocess.Process
    living: int = 0
    up: set[int] = field(default_factory=set)

    async def start(self, wrong: Sequence[int]) -> None:
        """Start one for which these faults are there."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{json.dumps(wrong)}\n".encode())
        self.living = await self._hear("started", besides=self.living)

    async def until_up(self) -> None:
        """Wait until it judges."""
        while self.living not in self.up:
            await self._hear("up", besides=0)

    async def _hear(self, word: str, *, besides: int) -> int:
        """The process of which this is said, another one than this."""
        assert self.process.stdout is not None
        while True:
            said, process_id = (await self.process.stdout.readline()).decode().split()
            if said == "up":
                self.up.add(int(process_id))
            if said == word and int(process_id) != besides:
                return int(process_id)

    def kill(self) -> None:
        """Kill the one that lives."""
        os.kill(self.living, signal.SIGKILL)


@asynccontextmanager
async def engines(directory: Path, url: str) -> AsyncIterator[Engines]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.health.alerts.alert_process", str(directory), url,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    made = Engines(process)
    try:
        yield made
    finally:
        if made.living:
            made.kill()
        assert process.stdin is not None
        process.stdin.close()
        await process.communicate()


def told(received: list[Received]) -> dict[tuple[str, str], Counter[str]]:
    """(Model, status) → how often each id arrived."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for request in received:
        for alert in request.document["alerts"]:
            found[alert["labels"]["model"], alert["status"]][request.headers["idempotency-key"]] += 1
    return found


async def test_two_hundred_kills_lose_no_alert_and_double_none(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    expected = {(f"m{fault}", status) for fault in range(FAULTS) for status in ("firing", "resolved")}
    async with receiving() as receiver, engines(tmp_path, receiver.url) as engine:
        for life in range(KILLS):
            await engine.start([fault for fault in range(FAULTS) if 2 * fault <= life <= 2 * fault + LIVES])
            if chance.random() < 0.2:  # while it opens its file and takes up where the last one was
                await asyncio.sleep(chance.uniform(0.0, 0.1))
            else:
                await engine.until_up()
                await asyncio.sleep(chance.uniform(0.0, 0.3))  # a kill at any moment is what is tested
            engine.kill()
        await engine.start([])
        await eventually(
            lambda: told(receiver.received).keys() >= expected,
            timeout_s=60,
            description="every fault was told, and that it is over",
        )
    ids = told(receiver.received)
    assert ids.keys() == expected
    assert {key: some for key, some in ids.items() if len(some) > 1} == {}, "told for another reason once more"
    again = sum(sum(some.values()) - 1 for some in ids.values())
    assert again <= KILLS  # each arrived just before a kill, which came before that was noted
