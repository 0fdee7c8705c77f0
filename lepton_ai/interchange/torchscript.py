"""TorchScript, converted to ONNX: only when it is asked for, as loading such a file runs code that the file holds."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lepton_ai.dtypes import DTYPES
from lepton_ai.errors import InvalidInput
from lepton_ai.installed import need
from lepton_ai.interchange.draft import Draft
from lepton_ai.interchange.model_files import named_after, onnx_draft
from lepton_ai.tensors import numpy_dtype

_FREE_SIZE = 8
_ROWS = 2


@dataclass(frozen=True)
class InputSpec:
    """An input of a model whose file does not say it: name, dtype and shape, whose first dimension is the batch."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> InputSpec:
        """ "x:FP32:-1x3x224x224". Raises InvalidInput."""
        try:
            name, dtype, sizes = text.rsplit(":", 2)
            shape = tuple(int(size) for size in sizes.split("x"))
            if not name or dtype not in DTYPES or shape[0] != -1 or any(size == 0 or size < -1 for size in shape):
                raise ValueError
        except ValueError:
            fix = "Say NAME:DTYPE:SHAPE, such as image:FP32:-1x3x224x224; the first dimension is the batch, -1."
            raise InvalidInput.of_field("input", f"{text[:80]!r} describes no input", fix=fix) from None
        return cls(name, dtype, shape)


def torchscript_draft(path: Path, scratch: Path, inputs: Sequence[InputSpec], *, allowed: bool) -> Draft:
    """Raises InvalidInput unless it is allowed, without a description of the inputs, and for what ONNX cannot say."""
    if not allowed:
        raise InvalidInput(
            f"{path.name} is TorchScript, which is code that runs when it is loaded.",
            reason="TORCHSCRIPT",
            fix="If you trust it, say --allow-torchscript to have it converted to ONNX here; or export the model with "
            "torch.export.save or torch.onnx.export.",
        )
    if not inputs:
        raise InvalidInput(
            f"{path.name} does not say what it takes.",
            reason="UNKNOWN_INPUTS",
            fix="Describe each input: --input NAME:DTYPE:SHAPE, such as image:FP32:-1x3x224x224.",
        )
    target = scratch / "model.onnx"
    _convert(path, target, inputs)
    return onnx_draft(target, name=named_after(path), source=f"{path.name} (TorchScript, converted)")


def _convert(path: Path, target: Path, inputs: Sequence[InputSpec]) -> None:
    need("torch", "TorchScript")
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that TorchScript is old; what is wrong is an error
        try:
            module = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
            shapes = [(_ROWS, *(_FREE_SIZE if size < 0 else size for size in spec.shape[1:])) for spec in inputs]
            example = tuple(
                torch.from_numpy(np.zeros(shape, numpy_dtype(spec.dtype)))
                for shape, spec in zip(shapes, inputs, strict=True)
            )
            answer = module(*example)
            count = 1 if isinstance(answer, torch.Tensor) else len(answer)
            outputs = ["output"] if count == 1 else [f"output_{index}" for index in range(count)]
            torch.onnx.export(
                module,
                example,
                str(target),
                input_names=[spec.name for spec in inputs],
                output_names=outputs,
                dynamic_axes=_free_axes(inputs, outputs),
                dynamo=False,
            )
        except (RuntimeError, ValueError, TypeError, torch.onnx.errors.OnnxExporterError) as error:
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise InvalidInput(
                f"{path.name} cannot be converted to ONNX: {reason}",
                reason="NOT_CONVERTIBLE",
                fix="Check --input; or export the model itself with torch.export.save or torch.onnx.export.",
            ) from error


def _free_axes(inputs: Sequence[InputSpec], outputs: Sequence[str]) -> Mapping[str, Mapping[int, str]]:
    free = {
        spec.name: {axis: f"{spec.name}_{axis}" for axis, size in enumerate(spec.shape) if size < 0} | {0: "batch"}
        for spec in inputs
    }
    return {**free, **{name: {0: "batch"} for name in outputs}}
