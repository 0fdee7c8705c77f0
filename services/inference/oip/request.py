"""Reads an Open Inference Protocol request: its tensors, the raw items in them, and its parameters."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lepton_ai.errors import InvalidInput, Unsupported
from lepton_ai.prediction import whole_number
from lepton_ai.tensors import check_content, decode_bytes, from_wire
from lepton_ai.v1 import common_pb2
from services.inference.call import Priority
from services.inference.oip.typed_contents import raw_from_typed
from services.inference.predict.request import check_top_k
from services.inference.routing.routes import ModelReference
from services.inference.rows import NamedTensor, Rows, split

Request = Any
"""service_pb2.ModelInferRequest, for which there are no types."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The request parameters that Lepton honours; Triton's names where Triton has them."""

    timeout_s: float | None = None
    priority: Priority = Priority.LIVE
    top_k: int = 0
    routing_key: str = ""
    may_cache: bool = True
    exact: bool = False


NO_PARAMETERS = Parameters()

_HONOURED = ("timeout", "priority", "top_k", "routing_key", "bypass_cache", "exact")
_WITHOUT_MEANING = frozenset({"triton_enable_empty_final_response", "binary_data_output"})
"""Parameters that clients send along and that mean nothing for a single answer over gRPC."""
_SEQUENCE = ("sequence_id", "sequence_start", "sequence_end")
_TENSORS_WITHOUT_MEANING = frozenset({"binary_data", "binary_data_size", "content_type"})
"""The same of single inputs and outputs: how the content travels over HTTP, and what MLServer's clients made it of."""
_CLASSIFICATION = "classification"
_REFUSED_OF_TENSORS = (_CLASSIFICATION, "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset")


def read_parameters(request: Request) -> Parameters:
    """Timeout (µs), priority (0 and 1 are live, more is bulk), top_k, routing_key, bypass_cache and exact.

    Raises InvalidInput for any other and for a wrong value, and Unsupported for a call that belongs to a sequence: a
    wish that is not fulfilled must not look as if it were.
    """
    if not request.parameters:
        return NO_PARAMETERS
    _refuse_others(request)
    timeout_us = _integer(request, "timeout")
    priority = Priority.BULK if _integer(request, "priority") > 1 else Priority.LIVE
    top_k = check_top_k(_integer(request, "top_k"), field="parameters[top_k]")
    timeout_s = timeout_us / 1e6 if timeout_us else None
    may_cache = not _boolean(request, "bypass_cache")
    return Parameters(
        timeout_s, priority, top_k, _text(request, "routing_key"), may_cache, exact=_boolean(request, "exact")
    )


def _refuse_others(request: Request) -> None:
    for name, parameter in request.parameters.items():
        if name in _SEQUENCE:
            if getattr(parameter, parameter.WhichOneof("parameter_choice") or "bool_param"):
                raise Unsupported(
                    f"parameters[{name}]: models keep nothing from one call to the next.",
                    reason="SEQUENCE_UNSUPPORTED",
                    fix="Send all that an answer depends on in one call.",
                )
        elif name not in _HONOURED and name not in _WITHOUT_MEANING:
            raise _unknown(f"parameters[{name[:64]}]", f"Known are {', '.join(_HONOURED)}.")


def check_tensor_parameters(request: Request) -> None:
    """Raises Unsupported or InvalidInput for wishes about single inputs and outputs, of which none is honoured."""
    for field, tensors in (("inputs", request.inputs), ("outputs", request.outputs)):
        for tensor in tensors:
            for name in tensor.parameters:
                _check_tensor_parameter(f"{field}[{tensor.name[:64]}]", name)


def _check_tensor_parameter(tensor: str, name: str) -> None:
    if name in _REFUSED_OF_TENSORS:
        raise Unsupported(
            f"{tensor}: {name} is not served here.",
            reason="PARAMETER_UNSUPPORTED" if name == _CLASSIFICATION else "SHARED_MEMORY_UNAVAILABLE",
            fix="Send tensors in the message; ask for plain ones, or for the outputs 'labels' and 'scores'.",
        )
    if name not in _TENSORS_WITHOUT_MEANING:
        raise _unknown(f"{tensor}.parameters[{name[:64]}]", "Leave it out.")


def _unknown(field: str, fix: str) -> InvalidInput:
    return InvalidInput.of_field(field, "is not known here", reason="UNKNOWN_PARAMETER", fix=fix)


def model_ref(name: str, version: str) -> ModelReference:
    """A number is a version, any other text an alias, an empty text the production route. Raises InvalidInput."""
    if not name:
        raise InvalidInput.of_field("model_name", "is empty", fix="Name a model; `lepton models` lists them.")
    if not version:
        return ModelReference(name)
    if version.isdecimal() and version.isascii():
        if len(version) > 18:
            raise InvalidInput.of_field("model_version", "is not a version number", fix="Versions count from 1.")
        return ModelReference(name, int(version))
    return ModelReference(name, alias=version)


def read_tensors(request: Request) -> list[NamedTensor]:
    """All input tensors in wire form. Raises InvalidInput for contents that are missing, mixed or of a wrong type."""
    raw = request.raw_input_contents
    if not raw:
        return [_typed_tensor(each) for each in request.inputs]
    if len(raw) == len(request.inputs) and not any(each.HasField("contents") for each in request.inputs):
        return [
            NamedTensor(each.name, each.datatype, tuple(each.shape), data)
            for each, data in zip(request.inputs, raw, strict=True)
        ]
    raise _wrong_raw(request)


def _typed_tensor(tensor: Any) -> NamedTensor:
    data = raw_from_typed(tensor.datatype, tensor.contents, field=f"inputs[{tensor.name}]")
    return NamedTensor(tensor.name, tensor.datatype, tuple(tensor.shape), data)


def _wrong_raw(request: Request) -> InvalidInput:
    for each in request.inputs:
        if each.HasField("contents"):
            return InvalidInput.of_field(
                f"inputs[{each.name}]",
                "has typed contents while raw_input_contents is used",
                reason="MIXED_CONTENTS",
                fix="Send all inputs raw or all typed.",
            )
    given, wanted = len(request.raw_input_contents), len(request.inputs)
    name = request.inputs[given].name if given < wanted else "raw_input_contents"
    field = f"inputs[{name}]" if given < wanted else name
    return InvalidInput.of_field(
        field, f"{given} raw contents for {wanted} inputs", reason="CONTENT_COUNT", fix="Send one for every input."
    )


def is_raw_items(
    tensors: Sequence[NamedTensor], pipeline_inputs: Mapping[str, str], model_inputs: Mapping[str, str]
) -> bool:
    """Whether a request is meant for the pipeline: all its inputs are the pipeline's and none is one of the model's.

    A name that is both is the model's when the dtype says so, else the pipeline's.
    """
    return bool(tensors) and all(
        tensor.name in pipeline_inputs and model_inputs.get(tensor.name) != tensor.dtype for tensor in tensors
    )


def read_items(
    tensors: Sequence[NamedTensor], kinds: Mapping[str, str], readings: Collection[str] = ()
) -> list[common_pb2.Item]:
    """One raw item for every row. Raises InvalidInput when rows or contents do not fit.

    `readings` names the inputs whose texts the pipeline itself reads, as its table was read.
    """
    columns = {tensor.name: _column(tensor, kinds[tensor.name], tensor.name in readings) for tensor in tensors}
    if len(columns) != len(tensors):
        raise InvalidInput.of_field(
            "inputs", "an input is given twice", reason="WRONG_INPUTS", fix=f"Send each once: {', '.join(columns)}."
        )
    counts = {len(column) for column in columns.values()}
    if len(counts) != 1:
        raise InvalidInput.of_field(
            "inputs", "differ in their number of rows", reason="SHAPE_MISMATCH", fix="Send as many rows of each."
        )
    count = counts.pop()
    if count < 1:
        raise InvalidInput.of_field("inputs", "the batch is empty", reason="EMPTY_BATCH", fix="Send at least one row.")
    return [common_pb2.Item(inputs={name: column[row] for name, column in columns.items()}) for row in range(count)]


def _column(tensor: NamedTensor, kind: str, is_read: bool) -> list[common_pb2.Value]:
    field = f"inputs[{tensor.name}]"
    if kind == "tensor":
        return _tensor_column(tensor, field)
    if len(tensor.shape) not in (1, 2) or tensor.shape[1:] not in ((), (1,)) or tensor.shape[0] < 0:
        raise InvalidInput.of_field(
            field, f"shape {list(tensor.shape)[:17]} is not [N] or [N,1]", reason="SHAPE_MISMATCH"
        )
    if tensor.dtype == "BYTES":
        elements = decode_bytes(tensor.data, expected=tensor.shape[0], field=field)
        return [_bytes_value(element, field, is_number=kind == "number" and not is_read) for element in elements]
    if kind not in ("number", "category"):
        raise InvalidInput.of_field(
            field, f"dtype is {tensor.dtype[:32]}, a raw {kind} is BYTES", reason="DTYPE_MISMATCH"
        )
    values = from_wire(tensor.dtype, tensor.shape, tensor.data, field=field).ravel().tolist()
    return [_number_value(value) for value in values]


def _bytes_value(element: bytes, field: str, *, is_number: bool) -> common_pb2.Value:
    if not is_number:
        return common_pb2.Value(data=element)
    try:
        return common_pb2.Value(number=float(element))
    except ValueError:
        raise InvalidInput.of_field(field, "an element is not a number", reason="WRONG_KIND") from None


def _number_value(value: float | bool) -> common_pb2.Value:
    if isinstance(value, bool):
        return common_pb2.Value(boolean=value)
    if isinstance(value, int):
        return whole_number(value, "")
    return common_pb2.Value(number=value)


def _tensor_column(tensor: NamedTensor, field: str) -> list[common_pb2.Value]:
    if not tensor.shape:
        raise InvalidInput.of_field(field, "has no batch dimension", reason="SHAPE_MISMATCH")
    if not math.prod(tensor.shape[1:]):  # without content, nothing but its shape would bound the number of rows
        raise InvalidInput.of_field(
            field, f"rows of shape {list(tensor.shape[1:])[:16]} hold nothing", reason="SHAPE_MISMATCH"
        )
    check_content(tensor.dtype, tensor.shape, tensor.data, field=field)
    dtype = common_pb2.DataType.Value(f"DATA_TYPE_{tensor.dtype}")
    rows = split(Rows(tensor.shape[0], (tensor,)), [1] * tensor.shape[0])
    return [
        common_pb2.Value(tensor=common_pb2.Tensor(dtype=dtype, shape=tensor.shape[1:], data=row.tensors[0].data))
        for row in rows
    ]


def _integer(request: Request, name: str) -> int:
    """A parameter that is a whole number ≥ 0; 0 when it is not there."""
    if name not in request.parameters:
        return 0
    parameter = request.parameters[name]
    kind = parameter.WhichOneof("parameter_choice")
    if kind not in ("int64_param", "uint64_param") or getattr(parameter, kind) < 0:
        raise InvalidInput.of_field(f"parameters[{name}]", "is not a whole number ≥ 0", reason="WRONG_PARAMETER")
    value: int = getattr(parameter, kind)
    return value


def _boolean(request: Request, name: str) -> bool:
    """A parameter that is true or false; false when it is not there."""
    if name not in request.parameters:
        return False
    parameter = request.parameters[name]
    if parameter.WhichOneof("parameter_choice") != "bool_param":
        raise InvalidInput.of_field(f"parameters[{name}]", "is not a boolean", reason="WRONG_PARAMETER")
    value: bool = parameter.bool_param
    return value


def _text(request: Request, name: str) -> str:
    """A parameter that is a text; empty when it is not there."""
    if name not in request.parameters:
        return ""
    parameter = request.parameters[name]
    if parameter.WhichOneof("parameter_choice") != "string_param":
        raise InvalidInput.of_field(f"parameters[{name}]", "is not a text", reason="WRONG_PARAMETER")
    value: str = parameter.string_param
    return value
