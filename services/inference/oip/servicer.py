"""The Open Inference Protocol on Lepton's port, for the clients of Triton, KServe and MLServer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc
from opentelemetry import context as otel_context
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lepton_ai.errors import NotFound, Unavailable
from lepton_ai.mesh.serving.deadline import remaining_s
from lepton_ai.mesh.serving.tenant import tenant_of
from services.inference.call import Call
from services.inference.oip import request as oip_request
from services.inference.oip.refusals import refuse
from services.inference.oip.response import (
    EXTENSIONS,
    LABELS,
    SCORES,
    has_labels,
    infer_response,
    label_tensors,
    model_metadata,
)
from services.inference.predict.predictor import Predictor
from services.inference.predict.request import InferenceRequest, Inputs
from services.inference.predict.result import InferenceResult
from services.inference.predict.runtime import ModelRuntime, Runtimes
from services.inference.routing.routes import Routes
from services.inference.rows import NamedTensor

SERVICE_NAME = "inference.GRPCInferenceService"
add_to_server = service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server
_Context = grpc.aio.ServicerContext[Any, Any]


class OpenInferenceServicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """The six RPCs of the protocol. Triton's further ones are refused: models are managed by the registry."""

    ModelStreamInfer = refuse("ModelStreamInfer")
    ModelConfig = refuse("ModelConfig")
    ModelStatistics = refuse("ModelStatistics")
    RepositoryIndex = refuse("RepositoryIndex")
    RepositoryModelLoad = refuse("RepositoryModelLoad")
    RepositoryModelUnload = refuse("RepositoryModelUnload")
    SystemSharedMemoryStatus = refuse("SystemSharedMemoryStatus")
    SystemSharedMemoryRegister = refuse("SystemSharedMemoryRegister")
    SystemSharedMemoryUnregister = refuse("SystemSharedMemoryUnregister")
    CudaSharedMemoryStatus = refuse("CudaSharedMemoryStatus")
    CudaSharedMemoryRegister = refuse("CudaSharedMemoryRegister")
    CudaSharedMemoryUnregister = refuse("CudaSharedMemoryUnregister")
    TraceSetting = refuse("TraceSetting")
    LogSettings = refuse("LogSettings")

    def __init__(
        self, predictor: Predictor, routes: Routes, runtimes: Runtimes, ready: Callable[[], bool], *, version: str
    ) -> None:
        """`ready` says whether this replica can serve; `version` is Lepton's own."""
        self._predictor = predictor
        self._routes = routes
        self._runtimes = runtimes
        self._ready = ready
        self._version = version

    async def ServerLive(self, request: Any, context: _Context) -> Any:  # noqa: N802
        return service_pb2.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: _Context) -> Any:  # noqa: N802
        return service_pb2.ServerReadyResponse(ready=self._ready())

    async def ModelReady(self, request: Any, context: _Context) -> Any:  # noqa: N802
        try:
            self._routes.resolve(oip_request.model_ref(request.name, request.version))
        except (NotFound, Unavailable):
            return service_pb2.ModelReadyResponse(ready=False)
        return service_pb2.ModelReadyResponse(ready=True)

    async def ServerMetadata(self, request: Any, context: _Context) -> Any:  # noqa: N802
        return service_pb2.ServerMetadataResponse(name="lepton", version=self._version, extensions=EXTENSIONS)

    async def ModelMetadata(self, request: Any, context: _Context) -> Any:  # noqa: N802
        resolved = self._routes.resolve(oip_request.model_ref(request.name, request.version))
        serving = next(model.serving for model in self._routes.models() if model.name == request.name)
        return model_metadata(self._runtimes.of(resolved.loaded), list(serving))

    async def ModelInfer(self, request: Any, context: _Context) -> Any:  # noqa: N802
        parameters = oip_request.read_parameters(request)
        oip_request.check_tensor_parameters(request)
        timeout_s = remaining_s(context)
        if parameters.timeout_s is not None:
            timeout_s = min(timeout_s, parameters.timeout_s)
        call = Call.arrive(
            timeout_s=timeout_s,
            context=otel_context.get_current(),
            priority=parameters.priority,
            tenant=tenant_of(context),
        )
        wanted = [output.name for output in request.outputs]
        asked = InferenceRequest(
            model=oip_request.model_ref(request.model_name, request.model_version),
            read=lambda runtime: _read_inputs(request, wanted, runtime),
            answered=LABELS in wanted or SCORES in wanted,
            top_k=parameters.top_k,
            routing_key=parameters.routing_key,
        )
        result = await self._predictor.predict(asked, call)
        return infer_response(request, result.resolved.loaded.version, _tensors(result, wanted))


def _read_inputs(request: Any, wanted: Sequence[str], runtime: ModelRuntime) -> Inputs:
    also = (LABELS, SCORES) if has_labels(runtime) else ()
    runtime.signature.check_outputs(wanted, also=also, field="outputs")
    tensors = oip_request.read_tensors(request)
    if oip_request.is_raw_items(tensors, runtime.pipeline_inputs, runtime.signature.input_dtypes):
        items = oip_request.read_items(tensors, runtime.pipeline_inputs, runtime.pipeline_readings)
        return Inputs("rows", items=items)
    return Inputs("inputs", tensors=tensors)


def _tensors(result: InferenceResult, wanted: Sequence[str]) -> Sequence[NamedTensor]:
    """The tensors of the answer. The protocol has no errors for single rows, so the first one fails the call."""
    error = next((outcome.error for outcome in result.outcomes if outcome.error is not None), None)
    if error is not None:
        raise error
    rows = result.rows()
    made = list(rows.tensors) if rows is not None else []
    if not wanted:
        return made
    if result.answers:
        made += label_tensors(result.answers)
    by_name = {tensor.name: tensor for tensor in made}
    return [by_name[name] for name in wanted if name in by_name]
