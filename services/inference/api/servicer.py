"""lepton.v1.InferenceService over gRPC: protobuf in, protobuf out; the work is the predictor's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc
from opentelemetry import context as otel_context

from lepton_ai.counts.messages import write_counts
from lepton_ai.errors import LeptonError
from lepton_ai.mesh.serving.deadline import remaining_s
from lepton_ai.mesh.serving.draining import until_set
from lepton_ai.v1 import inference_pb2, inference_pb2_grpc
from services.inference.api.forwarding import Forwarding
from services.inference.api.large_requests import Request, decode_request
from services.inference.api.paths import write_paths
from services.inference.api.requests import read_reference, read_request
from services.inference.api.responses import write_description, write_response
from services.inference.api.stream import PredictionStream
from services.inference.cache.caches import Caches
from services.inference.cache.status import write_status
from services.inference.call import Call, Caller, priority_of
from services.inference.forwarding.forwarder import Forwarder
from services.inference.predict.predictor import Predictor
from services.inference.recording.recorder import Recorder
from services.inference.streaming import Streaming

SERVICE_NAME = "lepton.v1.InferenceService"
OPEN_METHODS = ("Predict", "PredictStream", "DescribeModel", "DescribePaths", "GetArmCounts", "GetCacheStatus")
"""They change nothing; whatever else there is needs the token, where there is one."""
_Context = grpc.aio.ServicerContext[Any, Any]


class InferenceServicer(inference_pb2_grpc.InferenceServiceServicer):
    """Serves predictions."""

    def __init__(
        self,
        predictor: Predictor,
        *,
        caches: Caches,
        streaming: Streaming,
        forwarder: Forwarder | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """Without a `forwarder` no call is handed on, without a `recorder` no answer is remembered for feedback."""
        self._recorder = recorder
        self._predictor = predictor
        self._caches = caches
        self._streaming = streaming
        self._forwarding = Forwarding(forwarder)

    def add_to(self, server: Any) -> None:
        """Serve it, with requests to Predict read without copying what is large."""
        predict = grpc.unary_unary_rpc_method_handler(
            self.Predict, decode_request, inference_pb2.PredictResponse.SerializeToString
        )
        # The first one that knows a method is asked.
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME, {"Predict": predict}),))
        inference_pb2_grpc.add_InferenceServiceServicer_to_server(self, server)

    async def Predict(  # noqa: N802 - the contract's name
        self, request: Request, context: _Context
    ) -> inference_pb2.PredictResponse:
        timeout_s = remaining_s(context, default_s=self._streaming.timeout_s)
        priority = priority_of(request.options.priority)
        context_now, caller = otel_context.get_current(), Caller.of(context)
        call = Call.arrive(timeout_s=timeout_s, context=context_now, priority=priority, caller=caller)
        try:
            result = await self._predictor.predict(read_request(request), call)
        except LeptonError as error:
            return await self._forwarding.predict(error, request, call, context)
        return write_response(request, result, call, self._recorder)

    async def DescribeModel(  # noqa: N802 - the contract's name
        self, request: inference_pb2.DescribeModelRequest, context: _Context
    ) -> inference_pb2.DescribeModelResponse:
        try:
            return write_description(self._predictor.describe(read_reference(request.model)))
        except LeptonError as error:
            call = Call.arrive(timeout_s=remaining_s(context), context=otel_context.get_current())
            return await self._forwarding.describe(error, request, call, context)

    async def DescribePaths(  # noqa: N802 - the contract's name
        self, request: inference_pb2.DescribePathsRequest, context: _Context
    ) -> inference_pb2.DescribePathsResponse:
        runtime = self._predictor.describe(read_reference(request.model))
        return write_paths(runtime, self._predictor.offer(runtime.loaded))

    async def GetArmCounts(  # noqa: N802 - the contract's name
        self, request: inference_pb2.GetArmCountsRequest, context: _Context
    ) -> inference_pb2.GetArmCountsResponse:
        trial = self._predictor.trial(request.model)
        return inference_pb2.GetArmCountsResponse(
            rollout=trial.rollout,
            epoch=trial.epoch,
            candidate=write_counts(trial.candidate),
            baseline=write_counts(trial.baseline),
            rest=write_counts(trial.rest),
            shadow=trial.is_shadow,
        )

    async def GetCacheStatus(  # noqa: N802 - the contract's name
        self, request: inference_pb2.GetCacheStatusRequest, context: _Context
    ) -> inference_pb2.GetCacheStatusResponse:
        return write_status(self._caches, request.model)

    async def ClearCache(  # noqa: N802 - the contract's name
        self, request: inference_pb2.ClearCacheRequest, context: _Context
    ) -> inference_pb2.ClearCacheResponse:
        return inference_pb2.ClearCacheResponse(bytes=await self._caches.clear(request.model))

    async def PredictStream(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[inference_pb2.PredictStreamRequest], context: _Context
    ) -> AsyncGenerator[Any]:
        stream = PredictionStream(
            self._predictor,
            self._streaming,
            caller=Caller.of(context),
            recorder=self._recorder,
            forward=partial(self._forwarding.predict, context=context),
        )
        async with aclosing(stream.answers(until_set(request_iterator, self._streaming.draining))) as answers:
            async for answer in answers:
                yield answer
