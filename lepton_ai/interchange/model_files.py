"""Model files that are found alone: ONNX, torch.export, and what Lepton itself saves."""

from __future__ import annotations

import stat
from pathlib import Path

from lepton_ai.errors import InvalidInput
from lepton_ai.installed import need
from lepton_ai.interchange.draft import Draft, package_name


def onnx_draft(path: Path, *, name: str = "", source: str = "") -> Draft:
    """Raises InvalidInput for what is no ONNX, or keeps weights in files that do not lie next to it."""
    need("onnx", "A look into an ONNX model")
    from lepton_ai.inspection.onnx_model import read_onnx

    signature, locations = read_onnx(path)
    weights = {location: _beside(path, location) for location in locations}
    return Draft(source or path.name, name or named_after(path), path, "onnx", signature, weights)


def torch_export_draft(path: Path, *, name: str = "", source: str = "") -> Draft:
    """Raises InvalidInput for an archive that is not torch.export's, or that holds more than tensors and operators."""
    from lepton_ai.inspection.torch_archive import read_torch_export

    return Draft(source or path.name, name or named_after(path), path, "torch_export", read_torch_export(path))


def named_after(path: Path) -> str:
    """A name for the package of a model file: the file's, or the folder's where that says nothing."""
    return package_name(path.name.split(".")[0], path.absolute().parent.name)


def _beside(path: Path, location: str) -> Path:
    """A file of weights, which must lie next to the model as a plain file."""
    plain = bool(location) and not {"/", "\\", "\0"} & set(location) and location not in {".", ".."}
    file = path.parent / location if plain else path
    if not plain or not file.exists() or not stat.S_ISREG(file.lstat().st_mode):
        raise InvalidInput(
            f"{path.name} keeps weights in {location[:80]!r}, which is no file next to it.",
            reason="EXTERNAL_DATA",
            fix="Put the file next to the model, or save the model as one file.",
        )
    return file
