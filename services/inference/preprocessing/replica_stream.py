"""One long-lived stream to one preprocess replica: many items on it, in micro-batches of whatever waits."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from lepton_ai.errors import LeptonError, Unavailable
from lepton_ai.mesh.errors import WRITE_TOO_LATE, from_rpc_error, from_status
from lepton_ai.mesh.wire import head
from lepton_ai.v1 import common_pb2, preprocess_pb2
from services.inference.item import Content, Item
from services.inference.preprocessing.made import Made
from services.inference.preprocessing.memory import StreamMemory

METHOD = "lepton.v1.PreprocessService/PreprocessStream"
_MAX_BATCH_ITEMS = 64
_MAX_BATCH_BYTES = 8 << 20


@dataclass(slots=True, eq=False)
class Work:
    """One item on its way to a replica and back."""

    id: int
    pipeline: preprocess_pb2.Pipeline
    item: Item
    size_bytes: int
    deadline: float
    """Monotonic seconds."""
    trace: common_pb2.TraceContext | None
    result: asyncio.Future[Made]


class ReplicaStream:
    """Opened by the first item; ends with the replica, and then fails what it had with Unavailable.

    An item that the stream's end left without an answer may be given to another replica: preprocessing is pure.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self._waiting: deque[Work] = deque()
        self._sent: dict[int, Work] = {}
        self._cancelled: list[int] = []
        self._defined: set[str] = set()
        self._wake = asyncio.Event()
        self._memory = StreamMemory(self._wake.set)
        self._retired = False
        self.ended = False
        self.items_may_move: bool | None = None
        """Whether the retry budget lets its items go elsewhere; asked once, as a broken stream is one failure."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def takes_items(self) -> bool:
        """Whether `put` may still be called."""
        return not self.ended and not self._retired

    def put(self, work: Work) -> None:
        """Send an item with the next micro-batch; its future gets the result."""
        self._waiting.append(work)
        self._wake.set()

    def cancel(self, work: Work) -> None:
        """Nobody waits for this item any more."""
        if self._sent.pop(work.id, None) is not None:
            self._cancelled.append(work.id)
            self._wake.set()
        elif work in self._waiting:
            self._waiting.remove(work)

    def retire(self) -> None:
        """The replica leaves: take no more items, and end when everything sent is answered."""
        self._retired = True
        self._wake.set()

    async def close(self) -> None:
        """End the stream now."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        error: LeptonError = Unavailable(
            "The preprocess replica ended its stream.",
            reason="STREAM_ENDED",
            fix="Try again; `lepton health` shows whether one is there.",
        )
        call: Any = self.channel.stream_stream(
            f"/{METHOD}",
            request_serializer=_encode,
            response_deserializer=preprocess_pb2.PreprocessStreamResponse.FromString,
        )()
        sender = asyncio.get_running_loop().create_task(self._send(call))
        # When sending fails the call is usually over already; if a bug of ours made it fail, this ends the call.
        sender.add_done_callback(lambda done: None if done.cancelled() or done.exception() is None else call.cancel())
        try:
            await self._receive(call)
        except grpc.aio.AioRpcError as failure:
            if failure.details() != WRITE_TOO_LATE:
                error = from_rpc_error(failure)
        finally:
            self.ended = True
            sender.cancel()
            call.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            self._memory.close()
            self._fail_all(error)

    async def _receive(self, call: Any) -> None:
        while True:
            message = await call.read()
            if message is grpc.aio.EOF:
                return
            for answer in message.results:
                self._hand_out(answer)
            if message.HasField("pipeline_error"):
                self._fail_pipeline(message.pipeline_error)
            if message.HasField("memory"):
                self._memory.open(message.memory)

    def _hand_out(self, answer: preprocess_pb2.StreamResult) -> None:
        work = self._sent.pop(answer.id, None)
        if work is None or work.result.done():
            self._memory.drop(answer.result)
            return
        try:
            work.result.set_result(self._memory.take(answer.result))
        except Unavailable as error:
            _fail(work, error)

    async def _send(self, call: Any) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            for message in self._messages():
                await call.write(message)
            if self._retired:
                await call.done_writing()
                return

    def _messages(self) -> Iterator[preprocess_pb2.PreprocessStreamRequest | bytes]:
        """The messages to send now. A batch is whatever waits when the stream can take it; there is no timer."""
        while self._cancelled or self._waiting or self._memory.is_due:
            if self._cancelled:
                ids, self._cancelled = self._cancelled, []
                yield preprocess_pb2.PreprocessStreamRequest(cancel=preprocess_pb2.CancelItems(ids=ids))
                continue
            if not self._waiting:
                yield self._memory.told()
                continue
            pipeline = self._waiting[0].pipeline
            if pipeline.digest not in self._defined:
                self._defined.add(pipeline.digest)
                define = preprocess_pb2.PreprocessStreamRequest(define=pipeline).SerializeToString()
                yield define + self._memory.told()
            if self._waiting:
                yield self._take(self._waiting[0].pipeline.digest)

    def _take(self, digest: str) -> bytes:
        """A batch of what waits, written by hand: as a message, each photo would be copied into it and out again."""
        parts: list[Content] = [preprocess_pb2.MicroBatch(pipeline_digest=digest).SerializeToString()]
        now, count, size_bytes = time.monotonic(), 0, 0
        while self._waiting and count < _MAX_BATCH_ITEMS and size_bytes < _MAX_BATCH_BYTES:
            if self._waiting[0].pipeline.digest != digest:
                break
            work = self._waiting.popleft()
            size_bytes += work.size_bytes
            self._sent[work.id] = work
            count += 1
            timeout_us = max(1, int((work.deadline - now) * 1e6))
            about = preprocess_pb2.StreamItem(id=work.id, trace=work.trace, timeout_us=timeout_us).SerializeToString()
            content = work.item.SerializeToString()
            about += head(preprocess_pb2.StreamItem.ITEM_FIELD_NUMBER, len(content))
            parts += (head(preprocess_pb2.MicroBatch.ITEMS_FIELD_NUMBER, len(about) + len(content)), about, content)
        batch = head(preprocess_pb2.PreprocessStreamRequest.BATCH_FIELD_NUMBER, sum(map(len, parts)))
        return b"".join((batch, *parts, self._memory.told()))

    def _fail_pipeline(self, failure: preprocess_pb2.PipelineError) -> None:
        self._defined.discard(failure.pipeline_digest)
        for work in [work for work in self._sent.values() if work.pipeline.digest == failure.pipeline_digest]:
            del self._sent[work.id]
            _fail(work, from_status(failure.error))

    def _fail_all(self, error: LeptonError) -> None:
        for work in [*self._sent.values(), *self._waiting]:
            _fail(work, error)
        self._sent.clear()
        self._waiting.clear()


def _encode(message: preprocess_pb2.PreprocessStreamRequest | bytes) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()


def _fail(work: Work, error: LeptonError) -> None:
    if not work.result.done():
        work.result.set_exception(error)
