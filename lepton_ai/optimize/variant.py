"""A variant as a package of its own: the original with another model file, and what was measured of it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lepton_ai.archive import replacing, writing
from lepton_ai.inspection.dry_run import check_answers
from lepton_ai.inspection.structure import inspect_package
from lepton_ai.models.families import TRAINED_FILE
from lepton_ai.package import DESCRIPTION_FILE, Package, write_package
from lepton_ai.package.document import dump_document

_MODEL_FILE = "model.onnx"


def write_variant(
    original: Package, model: Path, directory: Path, pipeline: Mapping[str, Any] | None = None
) -> Package:
    """Write the original's package with `model` and `pipeline` instead of its own, and try it as a push would.

    The trained model for further training stays out: its weights are others. So do figures of the original's
    evaluation. Raises InvalidInput (GOLDEN_MISMATCH) when a golden sample is no longer answered as it should be,
    ResourceExhausted for a full disk.
    """
    described = original.description.model_dump(mode="json", exclude_defaults=True)
    described["model"] = {"file": _MODEL_FILE, "format": "onnx"}
    described.pop("metrics", None)
    if pipeline is not None:
        described["preprocess"] = dict(pipeline)
    own = {original.description.model.file, *original.description.model.weights, TRAINED_FILE, DESCRIPTION_FILE}
    files: dict[str, bytes | Path] = {name: original.path(name) for name in original.files if name not in own}
    with writing(directory):
        package = write_package(directory, described, {**files, _MODEL_FILE: model})
    inspect_package(package.directory, hashed=package.manifest())
    check_answers(package)
    return package


def record_measurement(directory: Path, measured: Mapping[str, Any]) -> Package:
    """Say in a variant's lepton.yaml how it was made and what was measured; the section `optimised`."""
    package = Package.read(directory)
    document = package.description.model_dump(mode="json", exclude_defaults=True)
    document["optimised"] = dict(measured)
    with replacing(directory / DESCRIPTION_FILE) as file:
        file.write(dump_document(document).encode())
    return Package.read(directory)


def remove(directory: Path) -> None:
    """Remove what is left of a variant, if anything."""
    shutil.rmtree(directory, ignore_errors=True)
