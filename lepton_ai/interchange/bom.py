"""Bills of materials: one CycloneDX 1.6 ML-BOM for a package, with its files' hashes, a model card and its lineage.

See the specification at cyclonedx.org/docs/1.6/json. Nothing of the clock is in it: the same package makes the same
bill. What a model was trained on stands in the `trained.pth` of packages that Lepton's own models write.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from lepton_ai.errors import LeptonError
from lepton_ai.package import Description, Package, PackageLimits, TensorSpec
from lepton_ai.package.archives.members import opened_zip

_TRAINED_FILE, _DOCUMENT = "trained.pth", "document.json"
_MAX_DOCUMENT_BYTES = 64 << 20
_SUPERVISED = frozenset({"classification", "multilabel", "regression", "rating", "ranking", "forecast"})


def make_bom(package: Package, *, version: str = "") -> dict[str, Any]:
    """The bill as a JSON document."""
    trained = _trained(package)
    files = [_file(package, name) for name in sorted(package.files)]
    model = _model(package, version, trained)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, f"{package.digest} {version}").urn,
        "version": 1,
        "metadata": {"component": model},
        "components": files,
        "dependencies": [
            {"ref": model["bom-ref"], "dependsOn": [file["bom-ref"] for file in files]},
            *({"ref": file["bom-ref"], "dependsOn": []} for file in files),
        ],
    }


def _model(package: Package, version: str, trained: Mapping[str, Any]) -> dict[str, Any]:
    description = package.description
    properties = {"lepton:package:digest": package.digest, "lepton:model:format": description.model.format}
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{description.name}",
        "name": description.name,
        **({"version": version} if version else {}),
        **({"description": description.description} if description.description else {}),
        "hashes": _hashes(package.files[description.model.file].sha256),
        "modelCard": _model_card(description, trained),
        "properties": _properties(properties),
    }


def _model_card(description: Description, trained: Mapping[str, Any]) -> dict[str, Any]:
    task = str(_part(trained, "task").get("name", ""))
    dataset = _dataset(_part(trained, "lineage"))
    parameters: dict[str, Any] = {
        "inputs": [_tensor(spec) for spec in description.inputs],
        "outputs": [_tensor(spec) for spec in description.outputs],
        **({"task": task} if task else {}),
        **({"approach": {"type": "supervised"}} if task in _SUPERVISED else {}),
        **({"modelArchitecture": str(trained["class"])} if "class" in trained else {}),
        **({"datasets": [dataset]} if dataset else {}),
    }
    metrics = list(_metrics(_part(trained, "history")))
    settings = _part(_part(trained, "lineage"), "settings")
    card: dict[str, Any] = {"bom-ref": f"card:{description.name}", "modelParameters": parameters}
    if metrics:
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    if settings:
        card["properties"] = _properties(
            {f"lepton:training:{key}": json.dumps(value) for key, value in sorted(settings.items())}
        )
    return card


def _dataset(lineage: Mapping[str, Any]) -> dict[str, Any]:
    data = _part(lineage, "data")
    if "digest" not in data:
        return {}
    said = {"lepton:data:digest": data["digest"], "lepton:data:parent-digest": data.get("parent_digest")}
    said["lepton:data:operations"] = json.dumps(data.get("operations", []), sort_keys=True)
    properties = _properties({key: str(value) for key, value in said.items() if value})
    rows = lineage.get("rows")
    return {
        "type": "dataset",
        "name": str(data.get("source") or "training data"),
        "contents": {"properties": properties},
        **({"description": f"{rows} rows"} if isinstance(rows, int) else {}),
    }


def _metrics(history: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """What the kept epoch reached on the data held out."""
    epochs, best = history.get("epochs"), history.get("best_epoch")
    if not isinstance(epochs, list) or not epochs:
        return
    kept = best if isinstance(best, int) and 0 < best <= len(epochs) else len(epochs)
    for name, value in sorted(epochs[kept - 1].items()):
        if name.startswith("validation_") and isinstance(value, int | float):
            yield {"type": name.removeprefix("validation_"), "value": f"{value:.6g}", "slice": "validation"}


def _trained(package: Package) -> Mapping[str, Any]:
    """What the saved model in the package says of its training; nothing where there is none that can be read."""
    if _TRAINED_FILE not in package.files:
        return {}
    try:
        with opened_zip(package.path(_TRAINED_FILE), limits=PackageLimits(), compressed=True) as members:
            document = json.loads(members.read(_DOCUMENT, max_bytes=_MAX_DOCUMENT_BYTES))
    except (LeptonError, ValueError):
        return {}  # a file of that name that somebody else has put there: it tells nothing
    return document if isinstance(document, dict) else {}


def _file(package: Package, name: str) -> dict[str, Any]:
    file = package.files[name]
    return {
        "type": "file",
        "bom-ref": f"file:{name}",
        "name": name,
        "hashes": _hashes(file.sha256),
        "properties": _properties({"lepton:file:bytes": str(file.size_bytes)}),
    }


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]


def _properties(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _tensor(spec: TensorSpec) -> dict[str, str]:
    return {"format": f"{spec.name}: {spec.dtype} {list(spec.shape)}"}


def _part(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}
