"""OpenVINO's intermediate representation of an ONNX model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lepton_ai.errors import InvalidInput, Unsupported
from lepton_ai.installed import need
from lepton_ai.optimize.convert.conversion import Answer
from lepton_ai.package import Package
from lepton_ai.tensors import Array

_SETTINGS = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}


def to_openvino(package: Package, directory: Path) -> tuple[Path, Answer]:
    """Write model.xml and model.bin, weights as they are. Raises FailedPrecondition where openvino is not installed,
    Unsupported for a package that holds no ONNX, InvalidInput."""
    need("openvino", "Converting to OpenVINO")
    import openvino

    described = package.description
    if described.model.format != "onnx":
        raise Unsupported("OpenVINO is made of ONNX.", fix="Convert to onnx first.")
    path = directory / "model.xml"
    try:
        model = openvino.Core().read_model(package.path(described.model.file))
        openvino.save_model(model, path, compress_to_fp16=False)
        compiled = openvino.Core().compile_model(path, "CPU", _SETTINGS)
    except RuntimeError as error:
        text = str(error).strip().rpartition("\n")[2][:200]
        raise InvalidInput(f"OpenVINO cannot read this model: {text}", reason="NOT_CONVERTIBLE") from error
    return path, _answer(compiled, [spec.name for spec in described.outputs])


def _answer(compiled: Any, outputs: Sequence[str]) -> Answer:
    def answer(feeds: Mapping[str, Array]) -> Sequence[Any]:
        found = compiled(dict(feeds))
        return [found[compiled.output(name)] for name in outputs]

    return answer
