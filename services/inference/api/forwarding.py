"""Hands requests of lepton.v1 on to a replica that serves what they name."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import grpc

from lepton_ai.errors import LeptonError
from lepton_ai.v1 import inference_pb2, inference_pb2_grpc
from services.inference.api.large_requests import Request, message_of
from services.inference.api.requests import read_reference
from services.inference.call import Call
from services.inference.forwarding.forwarder import Forwarder, Metadata

_Context = grpc.aio.ServicerContext[Any, Any]


class Forwarding:
    """What to do with a call that failed here: raises the error unless another replica can answer."""

    def __init__(self, forwarder: Forwarder | None) -> None:
        """Without a forwarder every error is raised."""
        self._forwarder = forwarder

    async def predict(
        self, error: LeptonError, request: Request, call: Call, context: _Context
    ) -> inference_pb2.PredictResponse:
        """The answer to a request of a call, or of a stream, whose own context it then is."""

        def send(
            channel: grpc.aio.Channel, timeout_s: float, metadata: Metadata
        ) -> Awaitable[inference_pb2.PredictResponse]:
            stub = inference_pb2_grpc.InferenceServiceStub(channel)
            return stub.Predict(message_of(request), timeout=timeout_s, metadata=metadata)

        if self._forwarder is None:
            raise error
        reference = read_reference(request.model)
        return await self._forwarder.forward(error, send, reference=reference, call=call, context=context)

    async def describe(
        self, error: LeptonError, request: inference_pb2.DescribeModelRequest, call: Call, context: _Context
    ) -> inference_pb2.DescribeModelResponse:
        """What a version takes that this replica does not serve."""

        def send(
            channel: grpc.aio.Channel, timeout_s: float, metadata: Metadata
        ) -> Awaitable[inference_pb2.DescribeModelResponse]:
            stub = inference_pb2_grpc.InferenceServiceStub(channel)
            return stub.DescribeModel(request, timeout=timeout_s, metadata=metadata)

        if self._forwarder is None:
            raise error
        reference = read_reference(request.model)
        return await self._forwarder.forward(
            error, send, reference=reference, call=call, context=context, is_prediction=False
        )
