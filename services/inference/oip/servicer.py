"""The Open Inference Protocol on Lepton's port, for the clients of Triton, KServe and MLServer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc
from opentelemetry import context as otel_context
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lepton_ai.errors import LeptonError, NotFound, Unavailable, Unsupported
from lepton_ai.mesh.serving.deadline import remaining_s
from services.inference.call import Call
from services.inference.oip import request as oip_request
from services.inference.oip.refusals import refuse
from services.inference.oip.response import (
    EXTENSIONS,
    LABELS,
    SCORES,
    infer_response,
    label_tensors,
    model_metadata,
)
from services.inference.predict.labels import label_rows
from services.inference.predict.predictor import Predictor
from services.inference.predict.runtime import ModelRuntime
from services.inference.routing.routes import Routes
from services.inference.rows import NamedTensor, Rows, join

SERVICE_NAME = "inference.GRPCInferenceService"
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

    def __init__(self, predictor: Predictor, routes: Routes, ready: Callable[[], bool], *, version: str) -> None:
        """`ready` says whether this replica can serve; `version` is Lepton's own."""
        self._predictor = predictor
        self._routes = routes
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
        return model_metadata(self._predictor.runtime(resolved), list(serving))

    async def ModelInfer(self, request: Any, context: _Context) -> Any:  # noqa: N802
        parameters = oip_request.read_parameters(request)
        timeout_s = remaining_s(context)
        if parameters.timeout_s is not None:
            timeout_s = min(timeout_s, parameters.timeout_s)
        call = Call.arrive(timeout_s=timeout_s, context=otel_context.get_current(), priority=parameters.priority)
        ref = oip_request.model_ref(request.model_name, request.model_version)
        resolved = self._predictor.resolve(ref, call, routing_key=parameters.routing_key)
        runtime = self._predictor.runtime(resolved)
        with resolved.loaded.in_use():
            async with call.bounded():
                tensors = await self._infer(request, runtime, call, parameters.top_k)
        return infer_response(request, resolved.loaded.version, tensors)

    async def _infer(self, request: Any, runtime: ModelRuntime, call: Call, top_k: int) -> Sequence[NamedTensor]:
        wanted = _wanted_outputs(request, runtime)
        tensors = oip_request.read_tensors(request)
        if oip_request.is_raw_items(tensors, runtime.pipeline_inputs, runtime.signature.input_dtypes):
            rows = await self._infer_items(oip_request.read_items(tensors, runtime.pipeline_inputs), runtime, call)
        else:
            rows = (await self._predictor.run_tensors(runtime, tensors, call, field="inputs")).rows
        if not wanted:
            return rows.tensors
        made = list(rows.tensors)
        if runtime.loaded.postprocess is not None and (LABELS in wanted or SCORES in wanted):
            made += label_tensors(label_rows(runtime.loaded.postprocess, [rows], top_k))
        by_name = {tensor.name: tensor for tensor in made}
        return [by_name[name] for name in wanted if name in by_name]

    async def _infer_items(self, items: Sequence[Any], runtime: ModelRuntime, call: Call) -> Rows:
        """The protocol has no errors of single rows, so the first one fails the call."""
        outcomes = await self._predictor.run_items(runtime, items, call, field="rows")
        error: LeptonError | None = next((each.error for each in outcomes if each.error is not None), None)
        if error is not None:
            raise error
        return join([outcome.rows for outcome in outcomes if outcome.rows is not None])


def _wanted_outputs(request: Any, runtime: ModelRuntime) -> list[str]:
    """The outputs asked for; empty for all tensors of the model. Raises InvalidInput for unknown ones."""
    if not request.outputs:
        return []
    for output in request.outputs:
        for refused in ("classification", "shared_memory_region"):
            if refused in output.parameters:
                raise Unsupported(
                    f"outputs[{output.name[:64]}]: {refused} is not served here.",
                    fix=f"Ask for the outputs {LABELS!r} and {SCORES!r} of a model with labels, or for plain tensors.",
                )
    names = [output.name for output in request.outputs]
    also = (LABELS, SCORES) if runtime.loaded.postprocess is not None else ()
    runtime.signature.check_outputs(names, also=also, field="outputs")
    return names
