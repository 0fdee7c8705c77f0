"""Keeps streams from taking over a replica: limits on the rows that they have in work, and on unread answers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

MAX_UNREAD_BYTES = 16 << 20
"""Limit on the unread answers of one stream. Those still in work come on top; `StreamRoom` limits them."""
_MAX_JOINED_BYTES = 1 << 20
"""Answers of more bytes go in messages of their own; clients take 4 MiB by default."""


class StreamRoom:
    """Rows that all streams of a replica may have in work at once; streams that wait for room get it in turn."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = self._free_rows = max_rows
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, rows: int) -> int:
        """Wait for room and take it; returns how much to give back later. Who asks for more than there is takes all."""
        wanted = min(max(rows, 1), self._max_rows)
        if self._free_rows >= wanted and not self._turn.locked():
            self._free_rows -= wanted
            return wanted
        async with self._turn:
            while self._free_rows < wanted:
                self._freed.clear()
                await self._freed.wait()
            self._free_rows -= wanted
        return wanted

    def give_back(self, taken: int) -> None:
        """End what `take` began."""
        self._free_rows += taken
        self._freed.set()


class Outbox:
    """The answers of one stream, encoded, on their way to a client that may not read them."""

    def __init__(self, *, max_messages: int, max_bytes: int) -> None:
        """`place` waits while `max_messages` are in work or unread, or `max_bytes` are unread."""
        self.join: Callable[[Sequence[bytes]], bytes] | None = None
        """Makes one message of answers that are ready together, for a client that takes them so."""
        self._free = max_messages
        self._max_bytes = max_bytes
        self._bytes = 0
        self._answers: deque[bytes] = deque()
        self._ended = False
        self._filled = asyncio.Event()
        self._read = asyncio.Event()

    async def place(self) -> None:
        """Wait until one more message may be worked on; each place is followed by one `put`. For one waiter."""
        while self._free <= 0 or self._bytes >= self._max_bytes:
            self._read.clear()
            await self._read.wait()
        self._free -= 1

    def put(self, answer: bytes) -> None:
        """Leave an encoded answer for the client."""
        self._bytes += len(answer)
        self._answers.append(answer)
        self._filled.set()

    def end(self) -> None:
        """Say that no answer will follow."""
        self._ended = True
        self._filled.set()

    async def get(self) -> bytes | None:
        """The next message, None after the last one."""
        while not self._answers:
            if self._ended:
                return None
            self._filled.clear()
            await self._filled.wait()
        message = self._take()
        self._read.set()
        return message

    def _take(self) -> bytes:
        first = self._taken()
        if self.join is None:
            return first
        joined = [first]
        size_bytes = len(first)
        while self._answers and size_bytes + len(self._answers[0]) <= _MAX_JOINED_BYTES:
            joined.append(self._taken())
            size_bytes += len(joined[-1])
        return self.join(joined)

    def _taken(self) -> bytes:
        answer = self._answers.popleft()
        self._bytes -= len(answer)
        self._free += 1
        return answer
