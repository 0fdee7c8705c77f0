"""The cache that replicas share, made harmless: it is asked for a few milliseconds, and left alone while it fails."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from lepton_ai.errors import DeadlineExceeded, LeptonError
from lepton_ai.mesh.loops import run_loop
from lepton_ai.mesh.retry import backoff_s
from services.inference.cache.entries import seal, unseal
from services.inference.cache.shared.store import SharedStore, Written

T = TypeVar("T")

PATIENCE_S = 0.005
"""How long a call waits for the shared cache."""
_MAX_WAITING_BYTES = 32 << 20
_MAX_BATCH = 64
_MAX_ASKING = 64
"""Questions under way at once; more are not asked."""
_FAILURES = 5
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_CHECK_S = 5.0
"""How often generations are looked up, in case that news of a drop was lost."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What the shared cache had for a key."""

    content: bytes
    ttl_s: float


class Breaker:
    """Opens after some failures in a row; then one attempt is let through after a pause that grows."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._open_until_s = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether the other side fails and is left alone."""
        return self._failures >= _FAILURES

    def permits(self) -> bool:
        """Whether to make an attempt now. While open, one at a time may see whether it works again."""
        if not self.is_open:
            return True
        if self._clock() < self._open_until_s:
            return False
        self._open_until_s = self._clock() + _FIRST_PAUSE_S
        return True

    def succeeded(self) -> None:
        """Note that it works."""
        self._failures = 0

    def failed(self) -> None:
        """Note a failure, or that it took too long."""
        self._failures += 1
        if self.is_open:
            pause_s = backoff_s(self._failures - _FAILURES + 1, base_s=_FIRST_PAUSE_S, max_s=_LONGEST_PAUSE_S)
            self._open_until_s = self._clock() + pause_s


class SharedCache:
    """Groups of values in a store that other replicas use too. What goes wrong with it is as if nothing were there.

    A group is used once its generation is known; when another replica drops it, `on_drop` is called, and at the latest
    a few seconds later where the news is lost.
    """

    def __init__(self, store: SharedStore, *, on_drop: Callable[[str], None], patience_s: float = PATIENCE_S) -> None:
        self._store = store
        self._on_drop = on_drop
        self._patience_s = patience_s
        self._generations: dict[str, int] = {}
        self._wanted: set[str] = set()
        self._news = asyncio.Event()
        self._breaker = Breaker()
        self._asking: set[asyncio.Task[Any]] = set()
        self._waiting: deque[Written] = deque()
        self._waiting_bytes = 0
        self._to_write = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self.usual_s = 0.0005
        """What an answer takes, lately."""

    def start(self) -> None:
        """Begin to write and to listen."""
        self._loops = [
            run_loop(self._write, name="write to the shared cache"),
            run_loop(self._listen, name="listen for drops of the shared cache"),
            run_loop(self._check, name="check generations of the shared cache"),
        ]

    async def close(self) -> None:
        """Stop; what is not written yet is lost."""
        tasks = [*self._loops, *self._asking]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._store.close()

    @property
    def is_up(self) -> bool:
        """Whether it is asked at all."""
        return not self._breaker.is_open

    def use(self, group: str) -> None:
        """Take part in a group from now on."""
        self._wanted.add(group)
        self._news.set()

    def leave(self, group: str) -> None:
        """Take no part in a group any more."""
        self._wanted.discard(group)
        self._generations.pop(group, None)

    async def get(self, group: str, keys: Sequence[bytes]) -> Mapping[bytes, Found]:
        """What is there of these keys; nothing when it does not answer soon. Never raises."""
        generation = self._generations.get(group)
        if generation is None or len(self._asking) >= _MAX_ASKING or not self._breaker.permits():
            return {}
        names = [_name(group, generation, key) for key in keys]
        began_s = time.monotonic()
        values = await self._soon(lambda: self._store.get(names))
        if values is None or self._generations.get(group) != generation:
            return {}
        self.usual_s += 0.1 * (time.monotonic() - began_s - self.usual_s)
        found = {}
        for key, value in zip(keys, values, strict=True):
            opened = None if value is None else unseal(key, value)
            if opened is not None:
                found[key] = Found(*opened)
        return found

    def put(self, group: str, key: bytes, content: bytes, *, ttl_s: float) -> None:
        """Have a value written in a moment, unless too much waits already."""
        generation = self._generations.get(group)
        if generation is None or self._breaker.is_open or self._waiting_bytes + len(content) > _MAX_WAITING_BYTES:
            return
        written = Written(_name(group, generation, key), seal(key, content, ttl_s), ttl_s)
        self._waiting.append(written)
        self._waiting_bytes += len(written.value)
        self._to_write.set()

    async def drop(self, group: str) -> None:
        """Drop a group for all replicas. Raises Unavailable when the store cannot be told."""
        self._generations.pop(group, None)
        generation = await self._store.drop(group)
        if group in self._wanted:
            self._generations[group] = generation

    async def drop_soon(self, group: str) -> None:
        """Drop a group that no version here uses any more; if that fails, its values go when their time has passed."""
        try:
            await self.drop(group)
        except LeptonError as error:
            _log.info("A group of the shared cache was not dropped: %s", error)

    async def _soon(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        """The answer if it comes soon. A late one is let come, for a client that is cut short may answer the next
        question with it."""
        task = asyncio.get_running_loop().create_task(ask())
        self._asking.add(task)
        task.add_done_callback(self._asked)
        await asyncio.wait((task,), timeout=self._patience_s)
        if not task.done():
            self._failed(DeadlineExceeded("It is slow."))
            return None
        if task.cancelled() or task.exception() is not None:
            return None
        self._breaker.succeeded()
        return task.result()

    def _asked(self, task: asyncio.Task[Any]) -> None:
        self._asking.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        was_open = self._breaker.is_open
        self._breaker.failed()
        if self._breaker.is_open and not was_open:
            _log.warning("The shared cache is left alone for a moment: %s", error)

    async def _write(self) -> None:
        while True:
            await self._to_write.wait()
            batch = [self._waiting.popleft() for _ in range(min(_MAX_BATCH, len(self._waiting)))]
            self._waiting_bytes -= sum(len(each.value) for each in batch)
            if not self._waiting:
                self._to_write.clear()
            try:
                await self._store.put(batch)
            except LeptonError as error:
                self._failed(error)

    async def _listen(self) -> None:
        """Follow drops. Whenever it begins to listen, what happened before is looked up."""
        attempt = 0
        while True:
            try:
                async with aclosing(self._store.dropped()) as groups:
                    async for group in groups:
                        attempt = 0
                        await self._look((group,) if group else tuple(self._wanted))
            except LeptonError:
                attempt += 1
            await asyncio.sleep(backoff_s(attempt, base_s=0.1, max_s=_CHECK_S))

    async def _check(self) -> None:
        while True:
            self._news.clear()
            try:
                await self._look(tuple(self._wanted))
            except LeptonError as error:
                self._failed(error)
            try:
                async with asyncio.timeout(_CHECK_S):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _look(self, groups: Sequence[str]) -> None:
        """Learn the generations of these groups, as far as they are used here."""
        used = [group for group in groups if group in self._wanted]
        if not used:
            return
        for group, generation in zip(used, await self._store.generations(used), strict=True):
            before = self._generations.get(group)
            if group in self._wanted:
                self._generations[group] = generation
            if before is not None and before != generation:
                self._on_drop(group)


def _name(group: str, generation: int, key: bytes) -> str:
    return f"{group}/{generation}/{key.hex()}"
