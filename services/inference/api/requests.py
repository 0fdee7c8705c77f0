"""Reads a PredictRequest of lepton.v1 into plain values."""

from __future__ import annotations

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.tensors import proto_dtype
from lepton_ai.v1 import common_pb2, inference_pb2
from services.inference.api.large_requests import Request
from services.inference.predict.request import InferenceRequest, Inputs, check_top_k
from services.inference.predict.runtime import ModelRuntime
from services.inference.routing.routes import ModelReference
from services.inference.rows import NamedTensor


def read_request(request: Request) -> InferenceRequest:
    """The request, checked as far as it can be without knowing the model. Raises InvalidInput."""
    if not request.model.name:
        raise InvalidInput.of_field("model.name", "is empty", fix="Name a model; `lepton models` lists them.")
    if bool(request.items) == bool(request.tensors):
        problem = "both are given" if request.items else "both are empty"
        raise InvalidInput.of_field(
            "items, tensors", problem, reason="NO_INPUT", fix="Send raw items or ready tensors."
        )
    top_k = check_top_k(request.options.top_k, field="options.top_k")
    return InferenceRequest(
        model=read_reference(request.model),
        read=lambda runtime: _read_inputs(request, runtime),
        answered=bool(request.items) or top_k > 0,
        top_k=top_k,
        routing_key=request.options.routing_key,
        may_cache=request.options.cache != inference_pb2.CACHE_POLICY_BYPASS,
        exact=request.options.exact,
    )


def read_reference(ref: common_pb2.ModelRef) -> ModelReference:
    """The model that a request names. Raises InvalidInput."""
    version = ref.version if ref.WhichOneof("selector") == "version" else None
    return ModelReference(ref.name, version, ref.alias)


def _read_inputs(request: Request, runtime: ModelRuntime) -> Inputs:
    runtime.signature.check_outputs(request.options.outputs)
    if request.items:
        return Inputs("items", items=request.items)
    return Inputs("tensors", tensors=[_read_tensor(tensor) for tensor in request.tensors])


def _read_tensor(tensor: common_pb2.Tensor) -> NamedTensor:
    if tensor.WhichOneof("content") == "shared_memory":
        raise FailedPrecondition(
            f"tensors[{tensor.name[:64]}]: is in shared memory, which this server cannot map.",
            reason="SHARED_MEMORY_UNAVAILABLE",
            fix="Send `data`.",
        )
    return NamedTensor(tensor.name, proto_dtype(tensor), tuple(tensor.shape), tensor.data)
