"""Structural validation of ONNX files, without running them. The only file that imports onnx."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import onnx
from google.protobuf.message import DecodeError, Message

from lepton_ai.errors import InvalidInput
from lepton_ai.inspection.repeatable import check_repeatable
from lepton_ai.inspection.signature import ModelSignature, ModelTensor, check_signature
from lepton_ai.package import Description, Package

M = TypeVar("M", bound=Message)

_FIELD = "model.file"
# Full checking infers every shape in memory; for larger graphs the structure alone is checked.
_MAX_FULL_CHECK_BYTES = 512 << 20
# What ONNX Runtime runs without libraries of the user's own.
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
_EXTERNAL_KEYS = {"location", "offset", "length", "checksum"}
_DTYPES = {
    "BOOL": "BOOL", "UINT8": "UINT8", "UINT16": "UINT16", "UINT32": "UINT32", "UINT64": "UINT64",
    "INT8": "INT8", "INT16": "INT16", "INT32": "INT32", "INT64": "INT64",
    "FLOAT16": "FP16", "BFLOAT16": "BF16", "FLOAT": "FP32", "DOUBLE": "FP64", "STRING": "BYTES",
}  # fmt: skip


def check_onnx(package: Package) -> None:
    """Check that the package's model is ONNX, refers to nothing outside the package and has the described signature.

    Raises InvalidInput.
    """
    path = package.path(package.description.model.file)
    model = _load(path)
    _check_external_data(model, package)
    _check_domains(model)
    try:
        onnx.checker.check_model(str(path), full_check=path.stat().st_size <= _MAX_FULL_CHECK_BYTES)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        # The checker's text speaks of the graph and, for external data, of paths: only its first line is the model's.
        text = str(error).replace(str(package.directory), "").strip().splitlines()
        raise _invalid(f"is not a valid ONNX model: {text[0][:300] if text else 'unknown reason'}") from error
    _check_signature(model, package.description)
    check_repeatable((node.op_type for node in _messages(model, onnx.NodeProto)), package.description)


def read_onnx(path: Path) -> tuple[ModelSignature, list[str]]:
    """The signature of an ONNX file, and the names of the files beside it in which it keeps weights. Runs nothing.

    Raises InvalidInput.
    """
    model = _load(path)
    external = (tensor for tensor in _messages(model, onnx.TensorProto) if tensor.external_data)
    locations = (entry.value for tensor in external for entry in tensor.external_data if entry.key == "location")
    return _signature(model), sorted(set(locations))


def _load(path: Path) -> onnx.ModelProto:
    if path.stat().st_size == 0:
        raise _invalid("is empty")
    try:
        model = onnx.load_model(str(path), format="protobuf", load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise _invalid("is not an ONNX model") from error
    if not model.ir_version or not model.HasField("graph"):
        raise _invalid("is not an ONNX model")
    if model.training_info:
        raise _invalid("holds training information", fix="Export it for inference.")
    return model


def _check_external_data(model: onnx.ModelProto, package: Package) -> None:
    directory = posixpath.dirname(package.description.model.file)
    for tensor in _messages(model, onnx.TensorProto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            _check_location(tensor, directory, package)


def _check_location(tensor: onnx.TensorProto, directory: str, package: Package) -> None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    name = posixpath.join(directory, location)
    plain = bool(location) and not {"/", "\\", "\0"} & set(location) and location not in {".", ".."}
    if not plain or name not in package.files or name not in package.description.model.weights:
        raise _invalid(
            "keeps weights in a file that is not among model.weights",
            reason="EXTERNAL_DATA",
            fix="Put the file next to the model and name it in lepton.yaml under model.weights, or save one file.",
        )
    if len(entries) != len(tensor.external_data) or entries.keys() - _EXTERNAL_KEYS:
        raise _invalid("describes external data in an unknown way", reason="EXTERNAL_DATA")
    offset, length = entries.get("offset", "0"), entries.get("length", "0")
    digits = all(text.isascii() and text.isdigit() and len(text) < 19 for text in (offset, length))
    if not digits or int(offset) + int(length) > package.files[name].size_bytes:
        raise _invalid("refers to external data beyond the end of its file", reason="EXTERNAL_DATA")


def _check_domains(model: onnx.ModelProto) -> None:
    own = {function.domain for function in model.functions}
    used = {opset.domain for opset in model.opset_import} | {node.domain for node in _messages(model, onnx.NodeProto)}
    unknown = sorted(used - own - _DOMAINS)
    if unknown:
        raise _invalid(f"needs custom operators of {unknown[0][:64]!r}", reason="CUSTOM_OPERATORS")


def _check_signature(model: onnx.ModelProto, description: Description) -> None:
    signature = _signature(model)
    check_signature(description, signature.inputs, signature.outputs)


def _signature(model: onnx.ModelProto) -> ModelSignature:
    weights = {tensor.name for tensor in model.graph.initializer}
    weights |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    return ModelSignature(_tensors("inputs", inputs), _tensors("outputs", model.graph.output))


def _tensors(kind: str, values: Sequence[onnx.ValueInfoProto]) -> Mapping[str, ModelTensor]:
    return {value.name: _tensor(kind, value) for value in values}


def _tensor(kind: str, value: onnx.ValueInfoProto) -> ModelTensor:
    if value.type.WhichOneof("value") != "tensor_type":
        raise InvalidInput.of_field(
            kind, f"the model's {value.name[:64]!r} is not a tensor", reason="SIGNATURE_MISMATCH"
        )
    tensor = value.type.tensor_type
    name = onnx.TensorProto.DataType.Name(tensor.elem_type)
    if name not in _DTYPES:
        raise InvalidInput.of_field(kind, f"the model's {value.name[:64]!r} has dtype {name}, which cannot be served")
    if not tensor.HasField("shape"):
        return ModelTensor(_DTYPES[name], None)
    shape = tuple(dim.dim_value if dim.WhichOneof("value") == "dim_value" else None for dim in tensor.shape.dim)
    return ModelTensor(_DTYPES[name], shape)


def _messages(message: Message, wanted: type[M]) -> Iterator[M]:
    """Every message of a type anywhere inside, whichever field of whichever version of ONNX holds it."""
    if isinstance(message, wanted):
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            members: Collection[Message] = [value] if isinstance(value, Message) else value
            for member in members:
                yield from _messages(member, wanted)


def _invalid(description: str, *, reason: str = "INVALID_MODEL", fix: str = "") -> InvalidInput:
    return InvalidInput.of_field(_FIELD, description, reason=reason, fix=fix)
