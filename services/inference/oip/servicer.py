"""The Open Inference Protocol on Lepton's port, for the clients of Triton, KServe and MLServer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc
from opentelemetry import context as otel_context
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lepton_ai.errors import LeptonError, NotFound, Unavailable
from lepton_ai.mesh.serving.deadline import remaining_s
from lepton_ai.mesh.serving.draining import until_set
from lepton_ai.mesh.tracing.context import context_of, remote_parent
from services.inference.call import Call, Caller
from services.inference.forwarding.forwarder import Forwarder, Metadata
from services.inference.oip.catalogue import Catalogue
from services.inference.oip.inference import infer
from services.inference.oip.refusals import LOGGING, MEMORY, MODELS, TRACING, refuse
from services.inference.oip.request import model_ref
from services.inference.oip.response import EXTENSIONS
from services.inference.oip.stream import InferenceStream
from services.inference.predict.predictor import Predictor
from services.inference.predict.runtime import Runtimes
from services.inference.routing.routes import ModelReference, Routes
from services.inference.streaming import Streaming

SERVICE_NAME = "inference.GRPCInferenceService"
add_to_server = service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server
_STATUS_WANTED = "triton_grpc_error"
"""Metadata key of Triton's, with the value "true": the first failure of a stream is to end it with its status."""
_Context = grpc.aio.ServicerContext[Any, Any]


class OpenInferenceServicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """The protocol and Triton's extensions that tell of models. Those that change anything are refused: models are
    managed by the registry, and tensors travel in messages."""

    RepositoryModelLoad = refuse("RepositoryModelLoad", MODELS)
    RepositoryModelUnload = refuse("RepositoryModelUnload", MODELS)
    SystemSharedMemoryStatus = refuse("SystemSharedMemoryStatus", MEMORY)
    SystemSharedMemoryRegister = refuse("SystemSharedMemoryRegister", MEMORY)
    SystemSharedMemoryUnregister = refuse("SystemSharedMemoryUnregister", MEMORY)
    CudaSharedMemoryStatus = refuse("CudaSharedMemoryStatus", MEMORY)
    CudaSharedMemoryRegister = refuse("CudaSharedMemoryRegister", MEMORY)
    CudaSharedMemoryUnregister = refuse("CudaSharedMemoryUnregister", MEMORY)
    TraceSetting = refuse("TraceSetting", TRACING)
    LogSettings = refuse("LogSettings", LOGGING)

    def __init__(
        self,
        predictor: Predictor,
        routes: Routes,
        runtimes: Runtimes,
        ready: Callable[[], bool],
        *,
        version: str,
        streaming: Streaming,
        forwarder: Forwarder | None = None,
    ) -> None:
        """`ready` says whether this replica can serve; `version` is Lepton's own. Without a `forwarder` no inference is
        handed on."""
        self._predictor = predictor
        self._routes = routes
        self._catalogue = Catalogue(routes, runtimes)
        self._ready = ready
        self._version = version
        self._streaming = streaming
        self._forwarder = forwarder

    async def ServerLive(self, request: Any, context: _Context) -> Any:  # noqa: N802
        return service_pb2.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: _Context) -> Any:  # noqa: N802
        return service_pb2.ServerReadyResponse(ready=self._ready())

    async def ModelReady(self, request: Any, context: _Context) -> Any:  # noqa: N802
        try:
            self._routes.resolve(model_ref(request.name, request.version))
        except (NotFound, Unavailable):
            return service_pb2.ModelReadyResponse(ready=False)
        return service_pb2.ModelReadyResponse(ready=True)

    async def ServerMetadata(self, request: Any, context: _Context) -> Any:  # noqa: N802
        return service_pb2.ServerMetadataResponse(name="lepton", version=self._version, extensions=EXTENSIONS)

    async def ModelMetadata(self, request: Any, context: _Context) -> Any:  # noqa: N802
        return self._catalogue.metadata(model_ref(request.name, request.version))

    async def ModelConfig(self, request: Any, context: _Context) -> Any:  # noqa: N802
        return self._catalogue.config(model_ref(request.name, request.version))

    async def ModelStatistics(self, request: Any, context: _Context) -> Any:  # noqa: N802
        return self._catalogue.statistics(request.name, request.version)

    async def RepositoryIndex(self, request: Any, context: _Context) -> Any:  # noqa: N802
        return self._catalogue.index(request.repository_name, only_ready=request.ready)

    async def ModelInfer(self, request: Any, context: _Context) -> Any:  # noqa: N802
        current, caller = otel_context.get_current(), Caller.of(context)
        forward = partial(self._forward, context=context)
        timeout_s = remaining_s(context)
        return await infer(
            self._predictor, request, timeout_s=timeout_s, context=current, caller=caller, forward=forward
        )

    async def ModelStreamInfer(  # noqa: N802
        self, request_iterator: AsyncIterator[Any], context: _Context
    ) -> AsyncGenerator[Any]:
        stream = InferenceStream(
            self._predictor,
            self._streaming,
            parent=context_of(remote_parent(context.invocation_metadata())),
            caller=Caller.of(context),
            forward=partial(self._forward, context=context),
            ends_with_failure=(_STATUS_WANTED, "true") in (context.invocation_metadata() or ()),
        )
        async with aclosing(stream.answers(until_set(request_iterator, self._streaming.draining))) as answers:
            async for answer in answers:
                yield answer

    async def _forward(
        self, error: LeptonError, request: Any, reference: ModelReference, call: Call, context: _Context
    ) -> Any:
        def send(channel: grpc.aio.Channel, timeout_s: float, metadata: Metadata) -> Any:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            return stub.ModelInfer(request, timeout=timeout_s, metadata=metadata)

        if self._forwarder is None:
            raise error
        return await self._forwarder.forward(error, send, reference=reference, call=call, context=context)
