"""Packages as OCI artifacts of CNCF ModelPack: a layout that any OCI tool copies into a registry, and back.

Each file is a layer of its own, uncompressed, so that the digests are those of the files. See modelpack/model-spec,
docs/spec.md, docs/config.md and docs/annotations.md at v0.0.7, and opencontainers/image-spec, image-layout.md.
Nothing of the clock is in it: the same package makes the same digests.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from lepton_ai.archive import writing
from lepton_ai.errors import DataLoss, InvalidInput, ResourceExhausted
from lepton_ai.package import DESCRIPTION_FILE, Package, PackageLimits, check_path
from lepton_ai.package.directory import new_directory
from lepton_ai.package.manifest import check_distinct

LAYOUT_FILE = "oci-layout"
_INDEX_FILE = "index.json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_ARTIFACT = "application/vnd.cncf.model.manifest.v1+json"
_CONFIG = "application/vnd.cncf.model.config.v1+json"
_LAYER = "application/vnd.cncf.model.{}.v1.raw"
_LAYERS = frozenset(_LAYER.format(kind) for kind in ("weight", "weight.config", "doc", "dataset", "code"))
_PATH, _ATTRIBUTES = "org.cncf.model.filepath", "org.cncf.model.file.metadata+json"
_TITLE, _VERSION = "org.opencontainers.image.title", "org.opencontainers.image.version"
_REFERENCE = "org.opencontainers.image.ref.name"
_FORMATS = {"onnx": "onnx", "torch_export": "torch.export"}
_MODALITIES = {"image": "image", "sound": "audio", "text": "text"}
_EPOCH = "1970-01-01T00:00:00Z"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_MAX_JSON_BYTES = 4 << 20
_COPY_BYTES = 1 << 20


def write_layout(package: Package, directory: Path, *, version: str = "") -> str:
    """Write an OCI layout into a folder that does not exist yet or is empty; returns the manifest's digest.

    Raises FailedPrecondition for a folder with something in it, DataLoss when a file has changed since it was read,
    ResourceExhausted for a full disk.
    """
    new_directory(directory)
    with writing(directory):
        return _write(package, directory, version)


def read_layout(path: Path, directory: Path, *, limits: PackageLimits | None = None) -> Package:
    """Write the package in a layout that `write_layout` made to a folder that does not exist yet or is empty.

    Raises InvalidInput for another layout, ResourceExhausted over a limit, DataLoss for blobs that are not what their
    digest says, FailedPrecondition for a folder with something in it.
    """
    limits = limits or PackageLimits()
    new_directory(directory)
    manifests = _object(path / _INDEX_FILE, _INDEX_FILE).get("manifests")
    found = [each for each in _objects(manifests, "manifests") if each.get("artifactType") == _ARTIFACT]
    if len(found) != 1:
        raise _invalid("manifests", f"lists {len(found)} models, one is needed")
    manifest = _object(_blob(path, found[0], "manifests[0]", _MAX_JSON_BYTES), "manifest", found[0]["digest"])
    layers = _layers(_objects(manifest.get("layers"), "layers"), limits)
    sources = {name: _blob(path, layer, name, limits.max_file_bytes) for name, layer in layers.items()}
    with writing(directory):
        for name, source in sources.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            _copy(source, directory / name, source.name, name)
    return Package.read(directory, limits=limits)


def _write(package: Package, directory: Path, version: str) -> str:
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for name in sorted(package.files):
        _copy(package.path(name), blobs / package.files[name].sha256, package.files[name].sha256, name)
    layers = [_layer(package, name) for name in sorted(package.files)]
    config = _put(blobs, _config(package, [layer["digest"] for layer in layers], version), _CONFIG)
    annotations = {_TITLE: package.description.name, **({_VERSION: version} if version else {})}
    manifest = _put(
        blobs,
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "artifactType": _ARTIFACT,
            "config": config,
            "layers": layers,
            "annotations": annotations,
        },
        _MANIFEST,
    )
    listed = {**manifest, "artifactType": _ARTIFACT, "annotations": {_REFERENCE: version or "latest"}}
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [listed]}
    (directory / _INDEX_FILE).write_bytes(_json(index))
    (directory / LAYOUT_FILE).write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    return str(manifest["digest"])


def _layer(package: Package, name: str) -> dict[str, Any]:
    file = package.files[name]
    attributes = {
        "name": PurePosixPath(name).name, "mode": 0o644, "uid": 0, "gid": 0, "size": file.size_bytes,
        "mtime": _EPOCH, "typeflag": ord("0"),
    }  # fmt: skip
    return {
        "mediaType": _LAYER.format(_kind(package, name)),
        "digest": f"sha256:{file.sha256}",
        "size": file.size_bytes,
        "annotations": {_PATH: name, _ATTRIBUTES: _json(attributes).decode()},
    }


def _kind(package: Package, name: str) -> str:
    model = package.description.model
    if name == model.file or name in model.weights or name.endswith((".pth", ".safetensors")):
        return "weight"
    if name.startswith("golden/"):
        return "dataset"
    return "doc" if name.endswith(".md") or PurePosixPath(name).stem.upper() == "LICENSE" else "weight.config"


def _config(package: Package, digests: list[str], version: str) -> dict[str, Any]:
    description = package.description
    descriptor = {"name": description.name, "version": version, "description": description.description}
    kinds = {description.input_kind(name) for name in (description.preprocess.inputs if description.preprocess else ())}
    modalities = sorted({_MODALITIES.get(kind, "other") for kind in kinds} or {"other"})
    return {
        "descriptor": {key: text for key, text in descriptor.items() if text},
        "config": {"format": _FORMATS[description.model.format], "capabilities": {"inputTypes": modalities}},
        "modelfs": {"type": "layers", "diffIds": digests},
    }


def _put(blobs: Path, document: Mapping[str, Any], media_type: str) -> dict[str, Any]:
    """Store a document; returns its descriptor."""
    data = _json(document)
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _copy(source: Path, target: Path, sha256: str, name: str) -> None:
    digest = hashlib.sha256()
    with source.open("rb") as file, target.open("wb") as copy:
        while chunk := file.read(_COPY_BYTES):
            digest.update(chunk)
            copy.write(chunk)
    if digest.hexdigest() != sha256:
        raise DataLoss(f"{name[:255]!r} is not what its digest says.", reason="FILE_DAMAGED")


def _layers(listed: list[dict[str, Any]], limits: PackageLimits) -> dict[str, dict[str, Any]]:
    """The layers by the path of their file."""
    if len(listed) > limits.max_files:
        raise ResourceExhausted(f"The layout has more than {limits.max_files} files.", reason="TOO_MANY_FILES")
    names: list[str] = []
    for index, layer in enumerate(listed):
        if layer.get("mediaType") not in _LAYERS:
            raise _invalid(f"layers[{index}].mediaType", "is not that of a plain file; archives are not unpacked")
        annotations = layer.get("annotations")
        name = annotations.get(_PATH) if isinstance(annotations, dict) else None
        if not isinstance(name, str):
            raise _invalid(f"layers[{index}].annotations", f"has no {_PATH}")
        names.append(check_path(name, field=f"layers[{index}].annotations"))
    check_distinct(names, field="layers[{}].annotations")
    layers = dict(zip(names, listed, strict=True))
    if DESCRIPTION_FILE not in layers:
        raise InvalidInput(
            f"The layout holds no {DESCRIPTION_FILE}.",
            reason="NOT_A_PACKAGE",
            fix="Only layouts of `lepton export --oci` are packages. Of others take the model file and init it.",
        )
    sizes = [layer["size"] for layer in layers.values() if isinstance(layer.get("size"), int)]
    if sum(sizes) > limits.max_package_bytes:
        raise ResourceExhausted(
            f"The layout has more than {limits.max_package_bytes} bytes.", reason="PACKAGE_TOO_LARGE"
        )
    return layers


def _blob(path: Path, descriptor: Mapping[str, Any], field: str, max_bytes: int) -> Path:
    """Where a blob lies, which has to be a plain file of the size that its descriptor says."""
    match = _DIGEST.fullmatch(str(descriptor.get("digest")))
    if match is None:
        raise _invalid(f"{field}.digest", "must be sha256: and 64 hex digits")
    blob = path / "blobs" / "sha256" / match[1]
    if any(part.is_symlink() for part in (blob, blob.parent, blob.parent.parent)) or not blob.is_file():
        raise _invalid(field, "has no blob in the layout")
    size = blob.lstat().st_size
    if not stat.S_ISREG(blob.lstat().st_mode) or descriptor.get("size") != size:
        raise _invalid(f"{field}.size", f"is not that of the blob, {size}")
    if size > max_bytes:
        raise ResourceExhausted(f"{field}: {size} bytes; at most {max_bytes}.", reason="FILE_TOO_LARGE")
    return blob


def _object(path: Path, field: str, digest: str = "") -> dict[str, Any]:
    if not path.is_file() or path.is_symlink() or path.stat().st_size > _MAX_JSON_BYTES:
        raise _invalid(field, "is missing, a link or too large")
    data = path.read_bytes()
    if digest and digest != f"sha256:{hashlib.sha256(data).hexdigest()}":
        raise DataLoss(f"The {field} is not what its digest says.", reason="FILE_DAMAGED")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _invalid(field, "is not JSON") from error
    if not isinstance(document, dict):
        raise _invalid(field, "is not an object")
    return document


def _objects(value: Any, field: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise _invalid(field, "is not a list of objects")
    return value


def _invalid(field: str, problem: str) -> InvalidInput:
    return InvalidInput.of_field(field, problem, reason="INVALID_LAYOUT")
