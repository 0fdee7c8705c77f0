"""Models in a Triton model repository: `NAME/config.pbtxt`, `NAME/1/model.onnx` and so on.

The configuration is read with protobuf's text format into the message that tritonclient has; where that is not
installed, the model file alone tells what there is to know.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lepton_ai.errors import InvalidInput
from lepton_ai.interchange.draft import Draft, package_name
from lepton_ai.interchange.model_files import onnx_draft, torch_export_draft

_READERS = {".onnx": onnx_draft, ".pt2": torch_export_draft}
_NAMES = ("model.onnx", "model.pt2")
_MAX_CONFIG_BYTES = 1 << 20


def is_triton_repository(path: Path) -> bool:
    """Whether a folder is a repository or a model of one."""
    return path.is_dir() and (_is_model(path) or any(_is_model(each) for each in path.iterdir() if each.is_dir()))


def triton_draft(path: Path, *, model: str = "") -> Draft:
    """The newest version of a model that Triton would serve; `model` says which one of several. Raises InvalidInput."""
    directory = path if _is_model(path) else _chosen(path, model)
    config = _read_config(directory / "config.pbtxt")
    version = _served(directory, config)
    file = _model_file(version, "" if config is None else config.default_model_filename)
    if file is None:
        held = ", ".join(sorted(each.name for each in version.iterdir())[:10]) or "nothing"
        raise InvalidInput(
            f"Version {version.name} of {directory.name} holds {held}.",
            reason="UNKNOWN_FORMAT",
            fix="model.onnx and model.pt2 can be brought in. Export TorchScript (model.pt) and Python models with "
            "torch.export.save or torch.onnx.export.",
        )
    source = f"the Triton model {directory.name}/{version.name}"
    draft = _READERS[file.suffix](file, name=package_name(directory.name), source=source)
    return _configured(draft, directory, config)


def _served(directory: Path, config: Any) -> Path:
    """The newest version that there is, of those that the configuration names if it names some."""
    versions = _versions(directory)
    if not versions:
        raise InvalidInput(
            f"The model {directory.name} has no version.", fix="Versions are folders that are named by a number."
        )
    wanted = () if config is None else tuple(config.version_policy.specific.versions)
    served = [each for each in versions if int(each.name) in wanted] if wanted else versions
    if not served:
        raise InvalidInput(
            f"The model {directory.name} has none of the versions that its version_policy names.",
            reason="VERSION_POLICY",
            fix=f"It has {', '.join(sorted(each.name for each in versions)[:10])}.",
        )
    return max(served, key=lambda each: int(each.name))


def _model_file(version: Path, named: str) -> Path | None:
    """The model in a version's folder; an ONNX model with weights beside it may have a folder of its own."""
    is_plain = named.endswith(tuple(_READERS)) and not {"/", "\\"} & set(named)
    for name in (named, *_NAMES) if is_plain else _NAMES:
        file = version / name
        file = file / _NAMES[0] if file.is_dir() and file.suffix == ".onnx" else file
        if file.is_file():
            return file
    return None


def _is_model(path: Path) -> bool:
    return (path / "config.pbtxt").is_file() or any(
        (version / name).exists() for version in _versions(path) for name in (*_NAMES, "model.pt", "model.py")
    )


def _versions(path: Path) -> list[Path]:
    named = (each for each in path.iterdir() if each.name.isascii() and each.name.isdigit() and len(each.name) < 19)
    return [each for each in named if each.is_dir()]


def _chosen(path: Path, model: str) -> Path:
    models = {each.name: each for each in sorted(path.iterdir()) if each.is_dir() and _is_model(each)}
    if model in models:
        return models[model]
    if not model and len(models) == 1:
        return next(iter(models.values()))
    raise InvalidInput(
        f"The repository has {'no model ' + model if model else 'several models'}.",
        reason="WHICH_MODEL",
        fix=f"Name the folder of one: {', '.join(list(models)[:10])}.",
    )


def _configured(draft: Draft, directory: Path, config: Any) -> Draft:
    """With what the configuration says: batches, and labels."""
    if config is None:
        return draft
    if config.max_batch_size > 0:
        draft = replace(draft, max_batch_size=min(config.max_batch_size, 4096))
    if config.HasField("ensemble_scheduling"):
        raise InvalidInput(
            f"{directory.name} is an ensemble.",
            reason="ENSEMBLE",
            fix="Bring in its models one by one; what goes before and after one becomes its pipeline.",
        )
    labels = next((output.label_filename for output in config.output if output.label_filename), "")
    if labels and "/" not in labels and (directory / labels).is_file() and not (directory / labels).is_symlink():
        lines = (directory / labels).read_text(encoding="utf-8").splitlines()
        draft = replace(draft, labels=[line for line in lines if line.strip()])
    left = [section for section in ("optimization", "sequence_batching") if config.HasField(section)]
    notes = [f"{section} of config.pbtxt is not taken over: Lepton has its own ways." for section in left]
    return replace(draft, notes=[*draft.notes, *notes])


def _read_config(path: Path) -> Any:
    """The configuration as a message; None where there is none. Raises InvalidInput for text that is none."""
    if not path.is_file():
        return None
    try:
        from tritonclient.grpc import model_config_pb2
    except ImportError:
        return None
    from google.protobuf import text_format

    if path.stat().st_size > _MAX_CONFIG_BYTES:
        raise InvalidInput.of_field("config.pbtxt", "is larger than 1 MiB")
    try:
        message = model_config_pb2.ModelConfig()
        return text_format.Parse(path.read_text(encoding="utf-8"), message)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise InvalidInput.of_field(
            "config.pbtxt", f"cannot be read: {str(error)[:200]}", reason="INVALID_CONFIG"
        ) from error
