"""torch.export archives of a trained model, and what AOTInductor compiles of them for this machine's processor."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.inspection.runner import open_model
from lepton_ai.models.families import TRAINED_FILE
from lepton_ai.models.packaging import example_batch
from lepton_ai.models.saving import load_model
from lepton_ai.optimize.convert.conversion import Answer
from lepton_ai.package import Package
from lepton_ai.tensors import Array

_LARGEST_BATCH = 4096


def to_torch_export(package: Package, directory: Path) -> tuple[Path, Answer]:
    """Export the package's trained model with a free batch. Raises FailedPrecondition without one, InvalidInput."""
    path = directory / "model.pt2"
    torch.export.save(exported(package), path)
    described = package.description
    inputs, outputs = ([spec.name for spec in specs] for specs in (described.inputs, described.outputs))
    return path, open_model(path, "torch_export", inputs, outputs)


def to_aot_inductor(package: Package, directory: Path) -> tuple[Path, Answer]:
    """Compile it ahead of time: C++ for this machine's processor, which other ones may not run.

    Raises FailedPrecondition without a C++ compiler or a trained model, InvalidInput.
    """
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        raise FailedPrecondition(
            "AOTInductor needs a C++ compiler, and there is none.", reason="NOT_INSTALLED", fix="Install g++."
        )
    path = directory / "model.aoti.pt2"
    torch.set_num_threads(1)  # as models are served; how many it uses is compiled in
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch._inductor.aoti_compile_and_package(exported(package), package_path=str(path))
        compiled = torch._inductor.aoti_load_package(str(path))
    return path, _answer(compiled, [spec.name for spec in package.description.inputs])


def exported(package: Package) -> torch.export.ExportedProgram:
    """The network of the package's trained model, or the archive that the package holds."""
    described = package.description.model
    if described.format == "torch_export":
        return torch.export.load(str(package.path(described.file)))
    if TRAINED_FILE not in package.files:
        raise FailedPrecondition(
            f"The package holds ONNX and no {TRAINED_FILE} that could be exported.",
            reason="NO_NETWORK",
            fix="Packages that model.package(…) writes have one.",
        )
    model = load_model(package.directory)
    assert model.pipeline is not None  # noqa: S101 - it was trained
    example = tuple(example_batch(model.pipeline.outputs))
    batch = torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)
    try:
        return torch.export.export(model.network.eval(), example, dynamic_shapes=tuple({0: batch} for _ in example))
    except Exception as error:  # whatever tracing meets in a network
        text = str(error).partition("\n")[0][:200]
        raise InvalidInput(f"The network cannot be exported: {text}", reason="NOT_CONVERTIBLE") from error


def _answer(compiled: Any, inputs: Sequence[str]) -> Answer:
    def answer(feeds: Mapping[str, Array]) -> Sequence[Any]:
        with torch.inference_mode():
            found = compiled(*[torch.from_numpy(feeds[name].copy()) for name in inputs])
        found = [found] if isinstance(found, torch.Tensor) else found
        return [tensor.numpy() for tensor in (found.values() if isinstance(found, dict) else found)]

    return answer
