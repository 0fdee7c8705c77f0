"""Keeps streams from taking over a replica: limits on the rows that they have in work, and on unread answers."""

from __future__ import annotations

import asyncio

from lepton_ai.v1 import inference_pb2

_Answer = inference_pb2.PredictStreamResponse


class StreamRoom:
    """Rows that all streams of a replica may have in work at once; streams that wait for room get it in turn."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = self._free_rows = max_rows
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, rows: int) -> int:
        """Wait for room and take it; returns how much to give back later. Who asks for more than there is takes all."""
        wanted = min(max(rows, 1), self._max_rows)
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
    """The answers of one stream, on their way to a client that may not read them."""

    def __init__(self, *, max_messages: int, max_bytes: int) -> None:
        """`place` waits while `max_messages` are in work or unread, or `max_bytes` are unread."""
        self._places = asyncio.Semaphore(max_messages)
        self._max_bytes = max_bytes
        self._bytes = 0
        self._read = asyncio.Event()
        self._answers: asyncio.Queue[_Answer | None] = asyncio.Queue()

    async def place(self) -> None:
        """Wait until one more message may be worked on; each place is followed by one `put`."""
        await self._places.acquire()
        while self._bytes >= self._max_bytes:
            self._read.clear()
            await self._read.wait()

    def put(self, answer: _Answer) -> None:
        """Leave an answer for the client."""
        self._bytes += answer.ByteSize()
        self._answers.put_nowait(answer)

    def end(self) -> None:
        """Say that no answer will follow."""
        self._answers.put_nowait(None)

    async def get(self) -> _Answer | None:
        """The next answer, None after the last one."""
        answer = await self._answers.get()
        if answer is not None:
            self._bytes -= answer.ByteSize()
            self._places.release()
            self._read.set()
        return answer
