"""Tells by its content what a file or folder is, and makes a package of it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lepton_ai.errors import InvalidInput, NotFound
from lepton_ai.interchange.draft import Draft, with_options, write_draft
from lepton_ai.interchange.mlflow_model import MLMODEL, mlflow_draft
from lepton_ai.interchange.model_files import named_after, onnx_draft, torch_export_draft
from lepton_ai.interchange.modelpack import LAYOUT_FILE, read_layout
from lepton_ai.interchange.torchscript import InputSpec, torchscript_draft
from lepton_ai.interchange.torchserve_archive import MANIFEST, torchserve_draft
from lepton_ai.interchange.triton_repository import is_triton_repository, triton_draft
from lepton_ai.package import DESCRIPTION_FILE, Package, PackageLimits
from lepton_ai.package.archives.members import names_in_zip

_EXPORT = "Export the model where its code is, with torch.export.save or torch.onnx.export."


@dataclass(frozen=True)
class InitOptions:
    """What the author says about a model, beside what its file tells."""

    name: str = ""
    labels: Sequence[str] = ()
    inputs: Sequence[InputSpec] = ()
    architecture: str = ""
    model: str = ""
    """Which model of a repository of several."""
    torchscript_allowed: bool = False
    limits: PackageLimits = field(default_factory=PackageLimits)


def init_package(path: Path, directory: Path, options: InitOptions | None = None) -> Package:
    """Make a package, in a folder that does not exist yet or is empty, of a model file or what another tool has saved.

    Raises NotFound, InvalidInput for what is not recognised or must not be loaded, FailedPrecondition for the folder.
    """
    options = options or InitOptions()
    if not path.exists():
        raise NotFound(f"There is no {path.name}.", fix="Name a model file, or the folder of a saved model.")
    if path.is_dir() and (path / LAYOUT_FILE).is_file():
        return read_layout(path, directory, limits=options.limits)
    names = names_in_zip(path)
    if {"document.json", "weights.safetensors"} <= names:  # `save` of a model or agent has written it
        from lepton_ai.deployment import load

        package: Package = load(path).package(directory, name=options.name or named_after(path))
        return package
    with tempfile.TemporaryDirectory(prefix="lepton-") as scratch:
        draft = _folder_draft(path, options) if path.is_dir() else _file_draft(path, names, Path(scratch), options)
        draft = draft if options.name or path.name.isascii() else _saying_its_name(draft)
        return write_draft(with_options(draft, name=options.name, labels=options.labels), directory)


def _saying_its_name(draft: Draft) -> Draft:
    """With a note, as the file is called otherwise."""
    note = f"It is called {draft.name}, as names of models have only a-z 0-9 . _ -: `--name` gives it another one."
    return replace(draft, notes=[note, *draft.notes])


def _folder_draft(path: Path, options: InitOptions) -> Draft:
    if (path / DESCRIPTION_FILE).is_file():
        raise InvalidInput(
            f"{path.resolve().name} is a package already.", fix="`lepton check` tells whether it is good."
        )
    if (path / MLMODEL).is_file():
        return mlflow_draft(path)
    if is_triton_repository(path):
        return triton_draft(path, model=options.model)
    raise InvalidInput(
        f"{path.resolve().name} is none of the folders that can be made a package.",
        reason="NOT_RECOGNISED",
        fix="An MLflow model (MLmodel), a Triton repository (config.pbtxt) and an OCI layout (oci-layout) can.",
    )


def _file_draft(path: Path, names: frozenset[str], scratch: Path, options: InitOptions) -> Draft:
    """`names`: of what it holds, if it is a zip."""
    from lepton_ai.inspection.safetensors_file import is_safetensors

    if MANIFEST in names:
        return torchserve_draft(
            path, scratch, options.inputs, torchscript_allowed=options.torchscript_allowed, limits=options.limits
        )
    if names:
        return _zip_draft(path, names, scratch, options)
    if is_safetensors(path):
        from lepton_ai.interchange.architectures import safetensors_draft

        return safetensors_draft(path, scratch, architecture=options.architecture)
    if _is_pickle(path):
        raise _pickled(path)
    return _onnx_draft(path)


def _onnx_draft(path: Path) -> Draft:
    """ONNX files have no mark to be known by: what is none, and is not called one, is not recognised."""
    try:
        return onnx_draft(path)
    except InvalidInput as error:
        if path.suffix == ".onnx" or error.reason != "INVALID_MODEL":
            raise
        raise InvalidInput(
            f"{path.name} is no model file of a kind that can be made a package.",
            reason="NOT_RECOGNISED",
            fix="ONNX, torch.export (.pt2), safetensors, TorchServe's .mar and what Lepton has saved can.",
        ) from error


def _zip_draft(path: Path, names: frozenset[str], scratch: Path, options: InitOptions) -> Draft:
    if DESCRIPTION_FILE in names:
        raise InvalidInput(f"{path.name} is a packed package already.", fix="`lepton unpack` makes its folder.")
    inner = {name.partition("/")[2] for name in names}  # PyTorch's archives have a root of their own
    if "models/model.json" in inner:
        return torch_export_draft(path)
    if "constants.pkl" in inner and any(name.startswith("code/") for name in inner):
        return torchscript_draft(path, scratch, options.inputs, allowed=options.torchscript_allowed)
    if any(name.endswith((".pkl", ".npy")) for name in names):
        raise _pickled(path)
    raise InvalidInput(
        f"{path.name} is no zip of a kind that can be made a package.", reason="NOT_RECOGNISED", fix=_EXPORT
    )


def _is_pickle(path: Path) -> bool:
    """Whether a file begins as pickles of protocol 2 and later do, or as NumPy's files, which may hold some."""
    with path.open("rb") as file:
        start = file.read(6)
    return (start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05") or start == b"\x93NUMPY"


def _pickled(path: Path) -> InvalidInput:
    return InvalidInput(
        f"{path.name} holds pickles, which Lepton does not load: they are programs.",
        reason="PICKLED_CONTENT",
        fix=_EXPORT,
    )
