"""Makes a candidate's package out of the original: first what is done to the trained model, then to the ONNX file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_ai.errors import FailedPrecondition, Unsupported
from lepton_ai.optimize.candidate import Candidate
from lepton_ai.optimize.graph.tidy import tidy
from lepton_ai.optimize.methods import Workpiece, find_method
from lepton_ai.optimize.variant import write_variant
from lepton_ai.package import Package

if TYPE_CHECKING:
    from lepton_ai.models.model import Model


def make_variant(original: Package, candidate: Candidate, directory: Path, piece: Workpiece) -> Package:
    """Write the candidate's package to a new folder. Raises LeptonError that says why it cannot be made."""
    steps = [(find_method(step.method), step.parameters) for step in candidate.steps]
    pipeline = original.pipeline_document()
    for method, parameters in steps:
        if method.kind == "pipeline":
            pipeline = method.load()(pipeline or {"steps": []}, parameters)
    with tempfile.TemporaryDirectory(prefix="lepton-") as place:
        file = _onnx_file(original)
        model: Model | None = None
        for index, (method, parameters) in enumerate(each for each in steps if each[0].kind != "pipeline"):
            if method.kind == "model":
                model = method.load()(model or _trained(original), piece, parameters)
                continue
            if model is not None:
                file, model = _export(original, model, Path(place) / "exported.onnx"), None
            made = Path(place) / f"{index}.onnx"
            method.load()(file, made, piece, parameters)
            file = made
        if model is not None:
            file = _export(original, model, Path(place) / "exported.onnx")
        return write_variant(original, tidy(file, Path(place) / "tidy.onnx"), directory, pipeline)


def _onnx_file(original: Package) -> Path:
    described = original.description.model
    if described.format != "onnx":
        raise Unsupported(
            "Variants are made of ONNX, and this package holds a torch.export archive.",
            fix="Package the model as ONNX: model.package(…) does, and lepton init takes ONNX files.",
        )
    return original.path(described.file)


def _trained(original: Package) -> Any:
    from lepton_ai.models.families import TRAINED_FILE
    from lepton_ai.models.saving import load_model

    if TRAINED_FILE not in original.files:
        raise FailedPrecondition(
            f"This method trains, and the package has no {TRAINED_FILE}.",
            reason="NOT_TRAINABLE",
            fix="Packages that model.package(…) writes have one.",
        )
    return load_model(original.directory)


def _export(original: Package, model: Model, target: Path) -> Path:
    from lepton_ai.models.packaging import example_batch, export_onnx

    assert model.pipeline is not None  # noqa: S101 - it was loaded from a package
    made = model.pipeline.outputs
    outputs = [spec.name for spec in original.description.outputs]
    target.write_bytes(export_onnx(model.network, example_batch(made), [each.name for each in made], outputs))
    return target
