"""One PredictStream: messages worked on side by side, each with its own trace and deadline, answered when done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial

import grpc
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from lepton_ai.errors import InternalError, InvalidInput, LeptonError
from lepton_ai.mesh.errors import as_lepton_error, to_status
from lepton_ai.mesh.tracing import context_from, mark_code
from lepton_ai.mesh.tracing.context import EMPTY, context_of, enter_sampled_trace, undecided
from lepton_ai.v1 import inference_pb2
from services.inference.api.requests import read_request
from services.inference.api.responses import fill_response, join_answers
from services.inference.backpressure import MAX_UNREAD_BYTES, Outbox
from services.inference.call import Call, Caller, priority_of
from services.inference.predict.predictor import Predictor
from services.inference.recording.recorder import Recorder
from services.inference.streaming import Streaming

_log = logging.getLogger(__name__)

_METHOD = "lepton.v1.InferenceService/PredictStream"
_ATTRIBUTES = {"rpc.system.name": "grpc", "rpc.method": _METHOD}
_Answer = inference_pb2.PredictStreamResponse
_Message = inference_pb2.PredictStreamRequest
Forward = Callable[[LeptonError, inference_pb2.PredictRequest, Call], Awaitable[inference_pb2.PredictResponse]]


class PredictionStream:
    """The state of one stream. It reads no further while all streams together leave no `room`, or while too many of its
    own messages are in work or unread by the client; gRPC's flow control then slows the client down."""

    def __init__(
        self,
        predictor: Predictor,
        streaming: Streaming,
        *,
        caller: Caller,
        forward: Forward,
        recorder: Recorder | None = None,
    ) -> None:
        """`forward` answers requests that failed here where another replica can, and else raises their error."""
        self._recorder = recorder
        self._predictor = predictor
        self._tracing = streaming.tracing
        self._timeout_s = streaming.timeout_s
        self._room = streaming.room
        self._caller = caller
        self._forward = forward
        self._outbox = Outbox(max_messages=streaming.max_in_flight, max_bytes=MAX_UNREAD_BYTES)
        self._unsampled = context_of(undecided())
        """Of all messages that are in no trace: an identity each would cost more than it tells."""
        self._ids: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def answers(self, messages: AsyncIterator[_Message]) -> AsyncGenerator[bytes]:
        """Encoded answers in the order in which they are done; ends after the last one when the messages have ended."""
        reader = asyncio.get_running_loop().create_task(self._read(messages))
        try:
            while (answer := await self._outbox.get()) is not None:
                yield answer
            await reader  # raises the fault that ended the messages, if any
        finally:
            for task in (reader, *self._tasks):
                task.cancel()
            await asyncio.gather(reader, *self._tasks, return_exceptions=True)

    async def _read(self, messages: AsyncIterator[_Message]) -> None:
        try:
            async for message in messages:
                if not message.requests:
                    await self._begin(message)
                    continue
                self._outbox.join = join_answers
                for each in message.requests:
                    await self._begin(each)
            await asyncio.gather(*self._tasks)
        finally:
            self._outbox.end()

    async def _begin(self, message: _Message) -> None:
        """Work on a request when there is a place for it."""
        await self._outbox.place()
        room = await self._room.take(_rows(message.request))
        task = asyncio.get_running_loop().create_task(self._work(message))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, room))

    def _ended(self, room: int, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.give_back(room)

    async def _work(self, message: _Message) -> None:
        request = message.request
        answer = _Answer(request_id=request.request_id)
        span, context = self._span_of(message)
        if span.is_recording():
            answer.trace_id = f"{span.get_span_context().trace_id:032x}"
            enter_sampled_trace(answer.trace_id)  # ends with this task
        timeout_s = message.timeout_us / 1e6 or self._timeout_s
        priority = priority_of(request.options.priority)
        call = Call.arrive(
            timeout_s=timeout_s, context=context, priority=priority, caller=self._caller, from_stream=True
        )
        try:
            await self._predict(message, call, answer.response)
            mark_code(span, grpc.StatusCode.OK)
        except Exception as error:  # noqa: BLE001 - one message's fault must not end the others' stream
            known = as_lepton_error(error)
            answer.error.CopyFrom(to_status(known))
            mark_code(span, known.code, known.message)
            if isinstance(known, InternalError):
                _log.error("a message of a stream failed: %s", known.message, exc_info=error)
        finally:
            span.end()
        self._outbox.put(answer.SerializeToString())

    def _span_of(self, message: _Message) -> tuple[Span, Context]:
        """The message's own span when that is recorded; else what says that it is not, and the trace if it came with
        one."""
        parent = context_from(message.trace) if message.HasField("trace") else EMPTY
        span = self._tracing.begin_recorded(_METHOD, parent=parent, kind=SpanKind.SERVER, attributes=_ATTRIBUTES)
        if span is not None:
            return span, trace.set_span_in_context(span, EMPTY)
        return INVALID_SPAN, parent or self._unsampled

    async def _predict(self, message: _Message, call: Call, response: inference_pb2.PredictResponse) -> None:
        request = message.request
        if message.requests:
            raise InvalidInput.of_field("requests", "are in a message of `requests`", fix="Send them side by side.")
        if not request.request_id or request.request_id in self._ids:
            problem = "is in use by another message of the stream" if request.request_id else "is empty"
            raise InvalidInput.of_field("request.request_id", problem, fix="Give every message an id of its own.")
        self._ids.add(request.request_id)
        try:
            result = await self._predictor.predict(read_request(request), call)
        except LeptonError as error:
            response.CopyFrom(await self._forward(error, request, call))
        else:
            fill_response(response, request, result, call, self._recorder)
        finally:
            self._ids.discard(request.request_id)


def _rows(request: inference_pb2.PredictRequest) -> int:
    """How many rows a request claims to have; the claim is checked later."""
    first = request.tensors[0] if request.tensors else None
    return first.shape[0] if first is not None and first.shape else len(request.items)
