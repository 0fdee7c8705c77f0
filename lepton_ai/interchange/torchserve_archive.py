"""TorchServe's model archives (.mar): a zip with `MAR-INF/MANIFEST.json`, a model file and its handler's name.

TorchScript or ONNX with the built-in handler for pictures (pytorch/serve, ts/torch_handler/image_classifier.py and
vision_handler.py: resize to 256, middle 224, ImageNet's mean and deviation, softmax, the five best) or with none of its
own (base_handler), which takes tensors. Code in the archive is never run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lepton_ai.errors import InvalidInput
from lepton_ai.interchange.draft import Draft, package_name
from lepton_ai.interchange.model_files import onnx_draft
from lepton_ai.interchange.torchscript import InputSpec, torchscript_draft
from lepton_ai.package.archives.members import ZipMembers, opened_zip
from lepton_ai.package.manifest import PackageLimits, check_path

MANIFEST = "MAR-INF/MANIFEST.json"
_LABELS = "index_to_name.json"
_MAX_JSON_BYTES = 4 << 20
_SIDE, _MARGIN = 224, 256
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_PICTURE = InputSpec("image", "FP32", (-1, 3, _SIDE, _SIDE))
_TENSORS = "base_handler"
_PICTURES = "image_classifier"


def torchserve_draft(
    path: Path, scratch: Path, inputs: Sequence[InputSpec], *, torchscript_allowed: bool, limits: PackageLimits
) -> Draft:
    """Raises InvalidInput for eager models and handlers of one's own, which are code, and for damaged archives."""
    with opened_zip(path, limits=limits, compressed=True) as members:
        model = _model(members)
        handler = _checked_handler(model)
        serialized = check_path(_text(model, "serializedFile"), field="model.serializedFile")
        if model.get("modelFile"):
            raise _code(path, "its weights belong to a model in Python code")
        extracted = members.extract(serialized, scratch / ("model" + Path(serialized).suffix))
        labels = _labels(members)
    name = package_name(_text(model, "modelName"), path.name.split(".")[0])
    if extracted.suffix == ".onnx":
        draft = onnx_draft(extracted, name=name)
    else:
        wanted = inputs or ([_PICTURE] if handler == _PICTURES else [])
        draft = torchscript_draft(extracted, scratch, wanted, allowed=torchscript_allowed)
    version = str(model.get("modelVersion", ""))[:64]
    draft = replace(
        draft, name=name, labels=labels, source=f"{path.name} (TorchServe, {handler})", description=f"{name} {version}"
    )
    return draft if handler == _TENSORS else replace(draft, preprocess=_pictures(next(iter(draft.signature.inputs))))


def _model(members: ZipMembers) -> Mapping[str, Any]:
    manifest = _json(members, MANIFEST)
    model = manifest.get("model")
    if not isinstance(model, dict):
        raise InvalidInput.of_field(MANIFEST, "describes no model", reason="INVALID_MANIFEST")
    return model


def _checked_handler(model: Mapping[str, Any]) -> str:
    handler = _text(model, "handler").split(":")[0]
    if handler in (_PICTURES, _TENSORS):
        return handler
    raise InvalidInput(
        f"The archive's handler {handler[:64]!r} is not one that can be brought in.",
        reason="UNKNOWN_HANDLER",
        fix=f"{_PICTURES} and {_TENSORS} can be. Of other archives take the model file out and make a package of it "
        "(`lepton init model.onnx`), with a pipeline in place of the handler (docs/pipelines.md).",
    )


def _pictures(tensor: str) -> dict[str, Any]:
    """What TorchServe's handler does with a picture."""
    steps = [
        {"op": "decode_image", "input": "photo", "mode": "RGB"},
        {"op": "resize", "size": _MARGIN},
        {"op": "center_crop", "size": [_SIDE, _SIDE]},
        {"op": "to_tensor"},
        {"op": "normalize", "scale": 1 / 255, "mean": list(_MEAN), "std": list(_STD), "output": tensor},
    ]
    return {"inputs": {"photo": "image"}, "steps": steps}


def _labels(members: ZipMembers) -> list[str]:
    """The names of the classes: {"0": "cat"}, or {"0": ["n02123045", "tabby"]}; none without the file."""
    if _LABELS not in members.infos:
        return []
    names = _json(members, _LABELS)
    try:
        ordered = [names[str(index)] for index in range(len(names))]
        labels = [each[-1] if isinstance(each, list) else each for each in ordered]
        if not all(isinstance(label, str) and label.strip() for label in labels):
            raise TypeError
    except (KeyError, IndexError, TypeError) as error:
        raise InvalidInput.of_field(_LABELS, "does not name the classes from 0 on", reason="INVALID_LABELS") from error
    return [" ".join(label.split()) for label in labels]


def _json(members: ZipMembers, name: str) -> dict[str, Any]:
    try:
        document = json.loads(members.read(name, max_bytes=_MAX_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise InvalidInput.of_field(name, "is not JSON", reason="INVALID_MANIFEST") from error
    if not isinstance(document, dict):
        raise InvalidInput.of_field(name, "is not an object", reason="INVALID_MANIFEST")
    return document


def _text(model: Mapping[str, Any], key: str) -> str:
    value = model.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidInput.of_field(f"{MANIFEST} model.{key}", "is missing", reason="INVALID_MANIFEST")
    return value


def _code(path: Path, why: str) -> InvalidInput:
    return InvalidInput(
        f"{path.name} needs code of its own: {why}.",
        reason="PICKLED_CONTENT",
        fix="Export the model where its code is, with torch.export.save or torch.onnx.export.",
    )
