"""How a request for predictions goes to a replica: as a call of its own, or over a stream that many requests share."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import grpc

from lepton_ai.errors import DeadlineExceeded, LeptonError, Unavailable
from lepton_ai.mesh.errors import WRITE_TOO_LATE, as_lepton_error, from_status
from lepton_ai.mesh.tracing import TRACE_ID_TRAILER
from lepton_ai.prediction import Answer, to_answer
from lepton_ai.v1 import inference_pb2, inference_pb2_grpc

_IDLE_S = 5.0
"""A stream that had nothing to carry for so long is ended; the next request opens another one."""

Metadata = tuple[tuple[str, str], ...]
_Request = inference_pb2.PredictRequest
_Response = inference_pb2.PredictStreamResponse


async def predict_in_call(
    channel: grpc.aio.Channel, request: _Request, timeout_s: float, metadata: Metadata = ()
) -> Answer:
    """One request as a call. Raises AioRpcError."""
    call = inference_pb2_grpc.InferenceServiceStub(channel).Predict(request, timeout=timeout_s, metadata=metadata)
    response = await call
    trailing = dict(await call.trailing_metadata() or ())
    trace_id = trailing.get(TRACE_ID_TRAILER, "")
    return to_answer(response, trace_id=trace_id if isinstance(trace_id, str) else trace_id.decode())


class PredictionStreams:
    """The streams of one client, one a connection, opened when needed. A message over one costs half of a call.

    Bounded by whoever sends: a request waits for its answer, and the server reads no more than it may have in work.
    Belongs to one event loop.
    """

    def __init__(self, metadata: Metadata = ()) -> None:
        """`metadata` of each stream."""
        self._metadata = metadata
        self._streams: dict[grpc.aio.Channel, _Stream] = {}

    async def predict(self, channel: grpc.aio.Channel, request: _Request, timeout_s: float) -> Answer:
        """One request over this connection's stream.

        Raises the request's own error, DeadlineExceeded, and Unavailable when the stream breaks or the server leaves:
        then another replica can be asked.
        """
        stream = self._streams.get(channel)
        if stream is None or stream.has_ended:
            self._streams = {key: each for key, each in self._streams.items() if not each.has_ended}
            stream = self._streams[channel] = _Stream(channel, self._metadata)
        return await stream.predict(request, timeout_s)

    async def close(self) -> None:
        """Cancel what is under way."""
        streams, self._streams = self._streams, {}
        await asyncio.gather(*(stream.close() for stream in streams.values()))


class _Stream:
    """One PredictStream; answers find their requests by id."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Metadata) -> None:
        self._outgoing: asyncio.Queue[inference_pb2.PredictStreamRequest | None] = asyncio.Queue()
        self._waiting: dict[str, asyncio.Future[_Response]] = {}
        self._idle: asyncio.TimerHandle | None = None
        self._is_ending = False
        # Requests are written by gRPC's own task: a caller that is cancelled while it writes would end the stream.
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        self._call = stub.PredictStream(self._requests(), metadata=metadata)
        self._reader = asyncio.ensure_future(self._read())

    @property
    def has_ended(self) -> bool:
        """Whether it takes no more requests."""
        return self._is_ending or self._reader.done()

    async def predict(self, request: _Request, timeout_s: float) -> Answer:
        """Send a request and wait for its answer."""
        request.request_id = uuid.uuid4().hex
        self._rest(False)
        future = self._waiting[request.request_id] = asyncio.get_running_loop().create_future()
        message = inference_pb2.PredictStreamRequest(request=request, timeout_us=max(1, round(timeout_s * 1e6)))
        self._outgoing.put_nowait(message)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await future
        except TimeoutError:
            raise DeadlineExceeded("No answer came in the time of the call.", fix="Allow more time.") from None
        finally:
            self._waiting.pop(request.request_id, None)
            self._rest(not self._waiting)
        if answer.HasField("error"):
            error = from_status(answer.error)
            error.trace_id = answer.trace_id
            raise error
        return to_answer(answer.response, trace_id=answer.trace_id)

    async def close(self) -> None:
        """Cancel the stream and what waits for answers."""
        self._rest(False)
        self._is_ending = True
        self._call.cancel()
        for future in self._waiting.values():
            future.cancel()
        await asyncio.wait([self._reader])

    def _rest(self, is_idle: bool) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(_IDLE_S, self._end) if is_idle else None

    def _end(self) -> None:
        self._is_ending = True
        self._outgoing.put_nowait(None)

    async def _requests(self) -> AsyncIterator[inference_pb2.PredictStreamRequest]:
        while (message := await self._outgoing.get()) is not None:
            if message.request.request_id in self._waiting:  # else its caller has gone
                yield message

    async def _read(self) -> None:
        error: LeptonError = Unavailable(
            "The server has ended the stream before it answered.", reason="STREAM_ENDED", fix="Try again."
        )
        try:
            async for answer in self._call:
                future = self._waiting.get(answer.request_id)
                if future is not None and not future.done():
                    future.set_result(answer)
        except grpc.aio.AioRpcError as failure:
            if failure.details() != WRITE_TOO_LATE:
                error = as_lepton_error(failure)
        except asyncio.CancelledError:
            error = Unavailable("The connection was closed.", reason="STREAM_ENDED", fix="Try again.")
        finally:
            self._rest(False)
            self._is_ending = True
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(_again(error))


def _again(error: LeptonError) -> LeptonError:
    """The same error for one more caller, who adds a traceback and a trace of its own."""
    again = type(error)(
        error.message, reason=error.reason, fix=error.fix, fields=error.fields, retry_after_s=error.retry_after_s
    )
    again.retried = error.retried
    return again
