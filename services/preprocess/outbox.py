"""Collects results from worker threads for a stream and groups what is ready into few messages."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator

from lepton_ai.v1 import preprocess_pb2

_MAX_MESSAGE_BYTES = 8 << 20
_MAX_MESSAGE_RESULTS = 256
_MAX_UNSENT_BYTES = 64 << 20


class Outbox:
    """Filled from any thread, emptied by the event loop that made it.

    A result is handed on as soon as the loop is free to; those that became ready meanwhile go into the same message.
    There is no timer, so a lone result is never held back.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._ready: deque[tuple[preprocess_pb2.StreamResult, int]] = deque()
        self._unsent_bytes = 0
        self._wake_is_coming = False
        self._closed = False
        self._wake = asyncio.Event()
        self._taken = asyncio.Event()

    def put(self, result: preprocess_pb2.StreamResult) -> None:
        """Add a result, from any thread."""
        size_bytes = result.ByteSize()
        with self._lock:
            if self._closed:
                return
            self._ready.append((result, size_bytes))
            self._unsent_bytes += size_bytes
            if self._wake_is_coming:
                return
            self._wake_is_coming = True
            # under the lock, so that nothing reaches for the loop once `close` has returned
            self._loop.call_soon_threadsafe(self._wake.set)

    @property
    def is_empty(self) -> bool:
        """Whether everything was taken."""
        return not self._ready

    def close(self) -> None:
        """Drop what there is and what is still to come: nobody reads any more."""
        with self._lock:
            self._closed = True
            self._ready.clear()

    def wake(self) -> None:
        """End a `wait` though there may be nothing; from the loop's thread."""
        self._wake.set()

    async def wait(self) -> None:
        """Wait for results, or for `wake`."""
        await self._wake.wait()
        self._wake.clear()
        with self._lock:  # before results are taken: who adds one from here on wakes the loop again
            self._wake_is_coming = False

    async def room(self) -> None:
        """Wait while the other side does not read its results: until it does, no more of its work is accepted."""
        while self._unsent_bytes > _MAX_UNSENT_BYTES:
            self._taken.clear()
            await self._taken.wait()

    def messages(self) -> Iterator[preprocess_pb2.PreprocessStreamResponse]:
        """All results that are ready, also those that become ready while messages are being sent."""
        while self._ready:
            yield preprocess_pb2.PreprocessStreamResponse(results=self._take())
            self._taken.set()

    def _take(self) -> list[preprocess_pb2.StreamResult]:
        """Results for one message. A single one may be larger than the bound."""
        results: list[preprocess_pb2.StreamResult] = []
        total_bytes = 0
        with self._lock:
            while self._ready and len(results) < _MAX_MESSAGE_RESULTS:
                result, size_bytes = self._ready[0]
                if results and total_bytes + size_bytes > _MAX_MESSAGE_BYTES:
                    break
                self._ready.popleft()
                results.append(result)
                total_bytes += size_bytes
            self._unsent_bytes -= total_bytes
        return results
