"""Models that MLflow has saved: a folder with an `MLmodel` file that names its flavours and their files.

The ONNX flavour, and the PyTorch flavour where it is a torch.export archive. Nothing is unpickled: the other flavours,
and PyTorch's default of older versions, are pickles. See mlflow/onnx/__init__.py and mlflow/pytorch/__init__.py of
MLflow 3.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lepton_ai.errors import InvalidInput
from lepton_ai.interchange.draft import Draft, package_name
from lepton_ai.interchange.model_files import onnx_draft, torch_export_draft
from lepton_ai.package.document import MAX_DOCUMENT_BYTES, load_document
from lepton_ai.package.manifest import check_path

MLMODEL = "MLmodel"
_EXPORT_FIRST = (
    "Save it as ONNX (mlflow.onnx.save_model), or a PyTorch model with serialization_format='pt2' "
    "(mlflow.pytorch.save_model)."
)


def mlflow_draft(path: Path) -> Draft:
    """Raises InvalidInput for flavours that would have to be unpickled, and for files that are not in the folder."""
    with (path / MLMODEL).open("rb") as file:
        document, _ = load_document(file.read(MAX_DOCUMENT_BYTES + 1), name=MLMODEL)
    flavours = document.get("flavors")
    if not isinstance(flavours, dict) or not all(isinstance(each, dict) for each in flavours.values()):
        raise InvalidInput.of_field("flavors", "is not a list of flavours by name", reason="INVALID_MLMODEL")
    name = package_name(path.name, str(document.get("artifact_path") or ""), path.absolute().parent.name)
    draft = _draft(path, flavours, name)
    said = {key: document[key][:200] for key in ("run_id", "model_id") if isinstance(document.get(key), str)}
    run = {"run": said["run_id"]} if "run_id" in said else {}
    model = {"parameters": {"mlflow_model_id": said["model_id"]}} if "model_id" in said else {}
    return replace(draft, lineage={**run, **model})


def _draft(path: Path, flavours: Mapping[str, Mapping[str, Any]], name: str) -> Draft:
    source = f"the MLflow model {path.name}"
    if "onnx" in flavours:
        return onnx_draft(_file(path, flavours["onnx"].get("data"), "onnx.data"), name=name, source=source)
    if "pytorch" in flavours:
        archive = _file(path, flavours["pytorch"].get("model_data", "data"), "pytorch.model_data", suffix="model.pt2")
        return torch_export_draft(archive, name=name, source=source)
    held = ", ".join(sorted(flavours)) or "none"
    raise InvalidInput(
        f"{path.name} has the flavours {held}, which would have to be unpickled.",
        reason="PICKLED_CONTENT",
        fix=_EXPORT_FIRST,
    )


def _file(root: Path, named: object, field: str, *, suffix: str = "") -> Path:
    """A plain file below the folder; links are not followed."""
    if not isinstance(named, str):
        raise InvalidInput.of_field(f"flavors.{field}", "names no file", reason="INVALID_MLMODEL")
    path = root / check_path(named, field=f"flavors.{field}")
    path = path / suffix if suffix else path
    steps = [parent for parent in (path, *path.parents) if parent.is_relative_to(root) and parent != root]
    if any(step.is_symlink() for step in steps):
        raise InvalidInput.of_field(f"flavors.{field}", "is a link", reason="INVALID_PATH")
    if suffix and not path.exists():
        raise InvalidInput(
            f"{root.name} holds a PyTorch model that is pickled.", reason="PICKLED_CONTENT", fix=_EXPORT_FIRST
        )
    if not path.exists() or not stat.S_ISREG(path.lstat().st_mode):
        raise InvalidInput.of_field(f"flavors.{field}", "is not a file of the model", reason="MISSING_FILE")
    return path
