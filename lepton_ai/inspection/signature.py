"""Compares what a model file really takes and gives with what lepton.yaml says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lepton_ai.errors import InvalidInput
from lepton_ai.package import Description, TensorSpec

TritonBackend = Literal["python", "native"]
"""How the replicas run models: in Lepton's runner, or ONNX in Triton's own back end."""


@dataclass(frozen=True)
class ModelTensor:
    """An input or output as the model file has it; None stands for a free dimension, and for an unknown shape."""

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class ModelSignature:
    """What a model file takes and gives, by name, in its own order."""

    inputs: Mapping[str, ModelTensor]
    outputs: Mapping[str, ModelTensor]


def check_dtypes(description: Description, *, triton_backend: TritonBackend) -> None:
    """Check that the replicas can hand over tensors of these types: NumPy, which the runner uses, has no BF16.

    Raises InvalidInput.
    """
    if triton_backend == "native" and description.model.format == "onnx":
        return
    for kind, tensors in (("inputs", description.inputs), ("outputs", description.outputs)):
        for index, tensor in enumerate(tensors):
            if tensor.dtype == "BF16":
                raise InvalidInput.of_field(
                    f"{kind}[{index}].dtype",
                    f"{tensor.name[:64]!r} is BF16, which the serving runtime cannot hand over",
                    reason="UNSUPPORTED_DTYPE",
                    fix="Give the model FP32 or FP16 inputs and outputs; inside it BF16 may stay.",
                )


_UNBATCHED = (
    "If the model gives it without the batch dimension, say `batched: false` at this output and max_batch_size: 1; "
    "better, export the model with a batch dimension."
)


def check_signature(
    description: Description, inputs: Mapping[str, ModelTensor], outputs: Mapping[str, ModelTensor]
) -> None:
    """Check that all inputs are described and that the described outputs exist. Raises InvalidInput with the field."""
    described = [spec.name for spec in description.inputs]
    undescribed = sorted(set(inputs) - set(described))
    if undescribed:
        raise InvalidInput.of_field(
            "inputs", f"lacks the model's input {undescribed[0]!r}", reason="SIGNATURE_MISMATCH"
        )
    _check_all("inputs", description.inputs, inputs, max_batch_size=description.max_batch_size)
    _check_all("outputs", description.outputs, outputs, max_batch_size=description.max_batch_size)


def _check_all(
    kind: str, specs: Sequence[TensorSpec], actual: Mapping[str, ModelTensor], *, max_batch_size: int
) -> None:
    for index, spec in enumerate(specs):
        field = f"{kind}[{index}]"
        if spec.name not in actual:
            known = ", ".join(sorted(actual)[:10])
            raise InvalidInput.of_field(
                f"{field}.name", f"the model has no such {kind[:-1]}; it has {known}", reason="SIGNATURE_MISMATCH"
            )
        check_tensor(field, spec, actual[spec.name], max_batch_size=max_batch_size)


def check_tensor(field: str, spec: TensorSpec, actual: ModelTensor, *, max_batch_size: int) -> None:
    """Check dtype and shape of one tensor. Raises InvalidInput naming the dimension that differs."""
    if actual.dtype != spec.dtype:
        raise InvalidInput.of_field(
            f"{field}.dtype", f"is {spec.dtype} here and {actual.dtype} in the model", reason="SIGNATURE_MISMATCH"
        )
    if actual.shape is None:
        return
    shape = spec.model_shape
    if len(actual.shape) != len(shape):
        raise InvalidInput.of_field(
            f"{field}.shape",
            f"has {len(spec.shape)} dimensions here and {len(actual.shape)} in the model",
            reason="SIGNATURE_MISMATCH",
            fix=_UNBATCHED if field.startswith("outputs") and len(actual.shape) == len(spec.shape) - 1 else "",
        )
    for axis, (described, real) in enumerate(zip(shape, actual.shape, strict=True)):
        is_batch = axis == 0 and len(shape) == len(spec.shape)
        if real is None or described == real or (is_batch and real == max_batch_size == 1):
            continue
        raise InvalidInput.of_field(
            f"{field}.shape[{axis + len(spec.shape) - len(shape)}]",
            f"is {described} here and {real} in the model",
            reason="SIGNATURE_MISMATCH",
            fix="Export the model with a dynamic batch dimension." if is_batch else "",
        )
