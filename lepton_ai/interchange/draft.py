"""Packages in the making: what is known of a model that was found somewhere, and how it becomes a package.

What the model file tells goes into lepton.yaml; what it does not tell, such as how pictures were normalised, is said in
notes at its top. Samples are recorded by running the model here, so that every later copy must answer the same.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lepton_ai.errors import InvalidInput
from lepton_ai.inspection.dry_run import DryRun
from lepton_ai.inspection.signature import ModelSignature, ModelTensor
from lepton_ai.inspection.structure import inspect_package
from lepton_ai.interchange.guesses import Guess, guess_pipeline
from lepton_ai.interchange.samples import record_sample
from lepton_ai.package import DESCRIPTION_FILE, Package, write_package
from lepton_ai.package.schema import schema_text
from lepton_ai.references import NAME_PATTERN

_FILE_NAMES = {"onnx": "model.onnx", "torch_export": "model.pt2"}
_SCHEMA_COPY = ".lepton.schema.json"
_LABELS_FILE = "labels.txt"
_BATCH_ROWS = 8
_SAY_NOTHING = frozenset({"model", "models", "saved_model", "artifacts", "data", "best", "last", "tmp"})
"""Names of files and folders that name no model."""


@dataclass(frozen=True)
class Draft:
    """A model file with what is known about it."""

    source: str
    """What it was made of, for the note at the top."""
    name: str
    file: Path
    format: str
    signature: ModelSignature
    weights: Mapping[str, Path] = field(default_factory=dict)
    """Files that the model keeps weights in, by the name that it knows them by."""
    description: str = ""
    preprocess: Mapping[str, Any] | None = None
    """Where it is known; else it is guessed where that is certain."""
    labels: Sequence[str] = ()
    max_batch_size: int = _BATCH_ROWS
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """Where it comes from, as lepton.yaml has it."""
    notes: Sequence[str] = ()


def package_name(*candidates: str) -> str:
    """The first candidate that can be made a legal name, without its suffix; "model" when there is none."""
    for candidate in candidates:
        name = re.sub(r"[^a-z0-9._-]+", "-", candidate.lower()).strip("-._")[:64].strip("-._")
        name = re.sub(r"\.{2,}", ".", name)
        if NAME_PATTERN.fullmatch(name) and name not in _SAY_NOTHING:
            return name
    return "model"


def write_draft(draft: Draft, directory: Path) -> Package:
    """Write a package that passes `lepton check` into a folder that does not exist yet or is empty.

    Raises InvalidInput when the model is not one that can be served, FailedPrecondition for a folder with something in
    it or where the model's runtime is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="lepton-") as place:
        document, files, notes = _completed(draft, Path(place))
        package = write_package(directory, document, files)
    _add_notes(package.directory / DESCRIPTION_FILE, draft.source, [*draft.notes, *notes])
    return inspect_package(package.directory)


def _completed(draft: Draft, place: Path) -> tuple[dict[str, Any], dict[str, bytes | Path], list[str]]:
    """The description, the files and what there is to say, after the model has been run."""
    document = _bare_document(draft)
    files: dict[str, bytes | Path] = {document["model"]["file"]: draft.file, **draft.weights}
    bare = write_package(place / "bare", document, files)
    inspect_package(bare.directory, hashed=bare.manifest())
    notes: list[str] = []
    if document["max_batch_size"] > 1 and any(
        tried.sample == "batch" and tried.problem for tried in DryRun(bare).try_samples()
    ):
        document["max_batch_size"] = 1
        notes.append("The model does not take two inputs at once, so max_batch_size is 1.")
        bare = write_package(place / "single", document, files)
    guess = guess_pipeline(bare.description.inputs) if draft.preprocess is None else Guess(draft.preprocess)
    recorded = record_sample(bare, guess.preprocess, draft.labels)
    notes += [note for note in (guess.note, recorded.note) if note]
    if draft.labels:
        files[_LABELS_FILE] = ("\n".join(draft.labels) + "\n").encode()
        document["postprocess"] = recorded.postprocess(_LABELS_FILE)
    if recorded.golden is not None:
        document["golden"] = [recorded.golden]
        files |= recorded.files
        if guess.preprocess is not None:
            document["preprocess"] = dict(guess.preprocess)
    elif guess.preprocess is not None:  # a pipeline needs a sample
        notes.append(
            f"It takes tensors; with a golden sample it could take raw inputs by preprocess: {guess.preprocess}"
        )
    return document, files, notes


def _bare_document(draft: Draft) -> dict[str, Any]:
    """A description that takes and gives tensors."""
    inputs = [_spec("input", name, tensor) for name, tensor in draft.signature.inputs.items()]
    fixed = {tensor.shape[0] for tensor in draft.signature.inputs.values() if tensor.shape}
    outputs = [_spec("output", name, tensor) for name, tensor in draft.signature.outputs.items()]
    single = fixed == {1}
    if fixed - {None, 1} or len(fixed) > 1:
        many = max(size or 0 for size in fixed)
        raise InvalidInput(
            f"The model takes exactly {many} inputs at once."
            if many > 1
            else "The first dimension of some inputs is a free batch, of others it is 1.",
            reason="FIXED_BATCH",
            fix="Export it with a free batch dimension as the first one of every input.",
        )
    unbatched = [
        name
        for name, tensor in draft.signature.outputs.items()
        if tensor.shape is not None and (not tensor.shape or tensor.shape[0] not in (None, 1 if single else None))
    ]
    for output in outputs:
        if output["name"] in unbatched:
            output |= {"shape": [-1, *_sizes(draft.signature.outputs[output["name"]])], "batched": False}
    return {
        "format": 1,
        "name": draft.name,
        **({"description": draft.description} if draft.description else {}),
        "model": {
            "file": _FILE_NAMES[draft.format],
            "format": draft.format,
            **({"weights": sorted(draft.weights)} if draft.weights else {}),
        },
        "inputs": inputs,
        "outputs": outputs,
        "max_batch_size": 1 if single or unbatched else draft.max_batch_size,
        **({"lineage": dict(draft.lineage)} if draft.lineage else {}),
    }


def _spec(kind: str, name: str, tensor: ModelTensor) -> dict[str, Any]:
    if tensor.shape is None or (kind == "input" and not tensor.shape):
        problem = "has no batch dimension" if tensor.shape is not None else "is of unknown shape"
        raise InvalidInput(
            f"The model's {kind} {name[:64]!r} {problem}.",
            reason="UNKNOWN_SHAPE",
            fix="Export it again with shapes, and with a free batch dimension as the first one of every input.",
        )
    return {"name": name, "dtype": tensor.dtype, "shape": [-1, *_sizes(tensor)[1:]]}


def _sizes(tensor: ModelTensor) -> list[int]:
    return [-1 if size is None else size for size in tensor.shape or ()]


def _add_notes(path: Path, source: str, notes: Sequence[str]) -> None:
    """Put what the author should know at the top, and the schema where editors find it; hidden files stay here."""
    path.with_name(_SCHEMA_COPY).write_text(schema_text(), encoding="utf-8")
    lines = [f"# yaml-language-server: $schema={_SCHEMA_COPY}", f"# Made by `lepton init` of {source}."]
    lines += [f"# - {' '.join(note.split())}" for note in notes]
    path.write_text("\n".join([*lines, path.read_text(encoding="utf-8")]), encoding="utf-8")


def with_options(draft: Draft, *, name: str, labels: Sequence[str]) -> Draft:
    """The draft with what the author says, which goes before what was found."""
    return replace(draft, name=name or draft.name, labels=labels or draft.labels)
