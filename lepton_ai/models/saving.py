"""Models as single files."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_ai.archive import Archive
from lepton_ai.errors import DataLoss, FailedPrecondition, InvalidInput
from lepton_ai.inputs.profile import Profile
from lepton_ai.models.families import FAMILIES, TRAINED_FILE
from lepton_ai.models.golden import GoldenSample
from lepton_ai.models.structure.changes import change_structure
from lepton_ai.pipeline import Pipeline, RawValue
from lepton_ai.training.history import History
from lepton_ai.training.processes import is_first_process
from lepton_ai.training.tasks import task_from_document

if TYPE_CHECKING:
    from torch import nn

    from lepton_ai.models.model import Model

_KIND = "model"
_GOLDEN, _PIPELINE = "golden/", "pipeline/"


def save_model(model: Model, path: Path | str, *, history: History | None = None) -> Path:
    """Write a trained model; of several processes that train together only the first one does.

    `history` takes the place of the model's own.
    Raises FailedPrecondition for an untrained model, ResourceExhausted for a full disk.
    """
    if model.pipeline is None or model.task is None:
        raise FailedPrecondition("There is nothing to save: the model has not been trained.", fix="Call fit first.")
    if not is_first_process():
        return Path(path)
    files: dict[str, bytes] = {}
    golden = [_golden_document(index, sample, files) for index, sample in enumerate(model.golden)]
    pipeline = model.pipeline.to_proto()
    files |= {_PIPELINE + name: content for name, content in pipeline.files.items()}
    document = {
        "class": type(model).__name__,
        "config": model.config,
        "pipeline": json.loads(model.pipeline.document_json),
        "task": model.task.document(),
        "history": (model.history if history is None else history).document(),
        "lineage": model.lineage,
        "golden": golden,
        **({"structure": list(model.structure)} if model.structure else {}),
        **({"profile": model.input_profile.document()} if model.input_profile is not None else {}),
    }
    return Archive(_KIND, document, model.network.state_dict(), files).write(path)


def load_model(path: Path | str, *, module: nn.Module | None = None) -> Model:
    """Read a model, of a package's folder the one in it. `module` is for those that `wrap` made, which need it.

    Raises NotFound, InvalidInput for another kind of file or folder, DataLoss for a damaged one.
    """
    path = _trained_file(Path(path)) if Path(path).is_dir() else path
    archive = Archive.read(path, kind=_KIND)
    try:
        return _restore(archive, module)
    except (KeyError, TypeError, RuntimeError) as error:  # RuntimeError: weights of another shape
        raise DataLoss(f"{Path(path).name} is damaged: its parts do not fit together.") from error


def _trained_file(folder: Path) -> Path:
    if (folder / TRAINED_FILE).is_file():
        return folder / TRAINED_FILE
    raise InvalidInput(
        f"{folder.name} is a folder without {TRAINED_FILE}, the model that packages of trained models have in them.",
        reason="NOT_A_MODEL",
        fix="Name the file that `save` has written, or the folder that `package` has.",
    )


def _restore(archive: Archive, module: nn.Module | None) -> Model:
    document = archive.document
    given = {"module": module} if document["class"] == "Wrapped" else {}
    model = find_family(str(document["class"]))(**document["config"], **given)
    model.pipeline = Pipeline.load(document["pipeline"], _below(_PIPELINE, archive.files))
    model.task = task_from_document(document["task"])
    model.history = History.from_document(document["history"])
    model.lineage = dict(document["lineage"])
    model.golden = [_golden_sample(each, archive.files) for each in document["golden"]]
    model.structure = list(document.get("structure", ()))
    model.input_profile = Profile.from_document(document["profile"]) if "profile" in document else None
    change_structure(model.network, model.structure, archive.weights)
    model.network.load_state_dict(dict(archive.weights))
    return model


def find_family(name: str) -> type[Model]:
    """Only classes of this table are made: a file cannot name other code."""
    if name not in FAMILIES:
        raise InvalidInput(f"The file holds a {name[:64]!r}, which this version of Lepton does not know.")
    family: type[Model] = getattr(import_module(FAMILIES[name]), name)
    return family


def _golden_document(index: int, sample: GoldenSample, files: dict[str, bytes]) -> dict[str, Any]:
    inputs: dict[str, Any] = {}
    for name, value in sample.inputs.items():
        if isinstance(value, bytes):
            path = f"{_GOLDEN}{index}-{len(files)}"
            files[path] = value
            inputs[name] = {"file": path}
        else:
            inputs[name] = {"array": _array_document(value)} if hasattr(value, "dtype") else {"value": value}
    return {"inputs": inputs, "label": sample.label, "outputs": dict(sample.outputs)}


def _golden_sample(document: Mapping[str, Any], files: Mapping[str, bytes]) -> GoldenSample:
    inputs = {name: _golden_value(value, files) for name, value in document["inputs"].items()}
    return GoldenSample(inputs, document["label"], document["outputs"])


def _golden_value(value: Mapping[str, Any], files: Mapping[str, bytes]) -> RawValue:
    if "file" in value:
        return files[value["file"]]
    if "array" in value:
        array: RawValue = _array(value["array"])
        return array
    plain: RawValue = value["value"]
    return plain


def _array_document(array: Any) -> dict[str, Any]:
    return {"dtype": str(array.dtype), "shape": list(array.shape), "data": base64.b64encode(array.tobytes()).decode()}


def _array(document: Mapping[str, Any]) -> Any:
    import numpy as np

    data = base64.b64decode(document["data"])
    return np.frombuffer(data, dtype=document["dtype"]).reshape(document["shape"]).copy()


def _below(prefix: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name.removeprefix(prefix): content for name, content in files.items() if name.startswith(prefix)}
