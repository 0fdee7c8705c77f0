"""One ModelStreamInfer: requests worked on side by side and answered in their order, as Triton does."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind
from tritonclient.grpc import service_pb2

from lepton_ai.errors import InternalError, LeptonError, Unavailable
from lepton_ai.mesh.errors import as_lepton_error
from lepton_ai.mesh.tracing import mark_code
from lepton_ai.mesh.tracing.context import EMPTY, context_of, undecided
from services.inference.backpressure import MAX_UNREAD_BYTES, Outbox
from services.inference.call import Caller
from services.inference.oip.inference import Forward, infer
from services.inference.predict.predictor import Predictor
from services.inference.streaming import Streaming

_log = logging.getLogger(__name__)

_METHOD = "inference.GRPCInferenceService/ModelStreamInfer"
_ATTRIBUTES = {"rpc.system.name": "grpc", "rpc.method": _METHOD}


class InferenceStream:
    """The state of one stream. One answer a request, in the order of the requests. A failure is an answer with an
    `error_message` and the id, and the stream goes on; where its client asks for that, the first failure ends the
    stream with its status, after the answers to what came before. Bounded as `PredictionStream` is, in the same room.
    """

    def __init__(
        self,
        predictor: Predictor,
        streaming: Streaming,
        *,
        parent: Context,
        caller: Caller,
        forward: Forward,
        ends_with_failure: bool,
    ) -> None:
        """`parent`: the trace that the stream was called in; requests bring none of their own. `forward`: see
        `infer`. `ends_with_failure`: whether the first failure ends the stream."""
        self._ends_with_failure = ends_with_failure
        self._failure: LeptonError | None = None
        self._predictor = predictor
        self._tracing = streaming.tracing
        self._parent = parent
        self._caller = caller
        self._timeout_s = streaming.timeout_s
        self._room = streaming.room
        self._forward = forward
        self._outbox = Outbox(max_messages=streaming.max_in_flight, max_bytes=MAX_UNREAD_BYTES)
        self._unsampled = parent or context_of(undecided())
        self._begun: deque[tuple[str, asyncio.Task[bytes | LeptonError]]] = deque()
        """In the order of the requests: id, and what makes the answer."""

    async def answers(self, requests: AsyncIterator[Any]) -> AsyncGenerator[bytes]:
        """Encoded answers; ends after the last one when the requests have ended. Raises the failure that ends it."""
        reader = asyncio.get_running_loop().create_task(self._read(requests))
        try:
            while (answer := await self._outbox.get()) is not None:
                yield answer
            if self._failure is not None:
                raise self._failure
            await reader  # raises the fault that ended the requests, if any
        finally:
            tasks = [reader, *(task for _, task in self._begun)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, requests: AsyncIterator[Any]) -> None:
        try:
            async for request in requests:
                await self._outbox.place()
                room = await self._room.take(_rows(request))
                task = asyncio.get_running_loop().create_task(self._work(request))
                self._begun.append((request.id, task))
                task.add_done_callback(partial(self._ended, room))
            await asyncio.gather(*(task for _, task in self._begun), return_exceptions=True)
        finally:
            self._outbox.end()

    def _ended(self, room: int, _: asyncio.Task[bytes | LeptonError]) -> None:
        self._room.give_back(room)
        while self._begun and self._begun[0][1].done() and self._failure is None:
            request_id, task = self._begun.popleft()
            given_up = task.cancelled()  # by something that it waited for, or with the stream, where nobody reads it
            outcome = _given_up() if given_up else task.result()
            if isinstance(outcome, bytes):
                self._outbox.put(outcome)
            elif self._ends_with_failure:
                self._failure = outcome
                self._outbox.end()
            else:
                self._outbox.put(_error_message(request_id, outcome))

    async def _work(self, request: Any) -> bytes | LeptonError:
        span, context = self._span()
        try:
            response = await infer(
                self._predictor,
                request,
                timeout_s=self._timeout_s,
                context=context,
                caller=self._caller,
                forward=self._forward,
                from_stream=True,
            )
            mark_code(span, grpc.StatusCode.OK)
        except Exception as error:  # noqa: BLE001 - one request's fault must not end the others' stream
            known = as_lepton_error(error)
            mark_code(span, known.code, known.message)
            if isinstance(known, InternalError):
                _log.error("a request of a stream failed: %s", known.message, exc_info=error)
            return known
        finally:
            span.end()
        # No model here answers a request several times, so every answer is its last.
        response.parameters["triton_final_response"].bool_param = True
        return _encoded(service_pb2.ModelStreamInferResponse(infer_response=response))

    def _span(self) -> tuple[Span, Context]:
        span = self._tracing.begin_recorded(_METHOD, parent=self._parent, kind=SpanKind.SERVER, attributes=_ATTRIBUTES)
        if span is not None:
            return span, trace.set_span_in_context(span, EMPTY)
        return INVALID_SPAN, self._unsampled


def _error_message(request_id: str, error: LeptonError) -> bytes:
    """As Triton answers: the text, and the id so that the client knows which request failed."""
    answer = service_pb2.ModelStreamInferResponse(error_message=str(error))
    answer.infer_response.id = request_id
    answer.infer_response.parameters["triton_final_response"].bool_param = True
    return _encoded(answer)


def _encoded(answer: Any) -> bytes:
    encoded: bytes = answer.SerializeToString()
    return encoded


def _given_up() -> LeptonError:
    return Unavailable("The work was given up by the server.", fix="Try again.")


def _rows(request: Any) -> int:
    """How many rows a request claims to have; the claim is checked later."""
    first = request.inputs[0] if request.inputs else None
    return first.shape[0] if first is not None and first.shape else 1
