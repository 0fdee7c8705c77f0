"""What differs between two packages: files, and every field of their descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lepton_ai.package.description import Description
from lepton_ai.v1 import registry_pb2

_SECTIONS: Mapping[str, str] = {
    "inputs": "signature",
    "outputs": "signature",
    "max_batch_size": "signature",
    "preprocess": "pipeline",
    "postprocess": "pipeline",
    "metrics": "metrics",
    "lineage": "lineage",
}
"""Field of lepton.yaml → what people call it; all others are "package"."""
SECTIONS = ("signature", "pipeline", "metrics", "lineage", "package", "files")


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same."""

    section: str
    what: str
    """The path of a field, or of a file."""
    before: Any
    """None where it was not there."""
    after: Any


def compare(
    before: Description, after: Description, old_files: registry_pb2.Manifest, new_files: registry_pb2.Manifest
) -> list[Difference]:
    """All differences, section by section in the order of SECTIONS."""
    old, new = (dict(_leaves(each.model_dump(mode="json"))) for each in (before, after))
    found = [
        Difference(_section(field), field, old.get(field), new.get(field))
        for field in dict.fromkeys([*old, *new])
        if old.get(field) != new.get(field)
    ]
    found += _files(old_files, new_files)
    return sorted(found, key=lambda each: SECTIONS.index(each.section))


def _section(field: str) -> str:
    return _SECTIONS.get(field.partition(".")[0].partition("[")[0], "package")


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from _leaves(each, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and any(isinstance(each, Mapping | list) for each in value):
        for index, each in enumerate(value):
            yield from _leaves(each, f"{path}[{index}]")
    elif value not in (None, {}, [], ""):
        yield path, value


def _files(old: registry_pb2.Manifest, new: registry_pb2.Manifest) -> Iterator[Difference]:
    before, after = ({file.path: file for file in manifest.files} for manifest in (old, new))
    for path in sorted({*before, *after}):
        ours, theirs = before.get(path), after.get(path)
        if ours is None or theirs is None or ours.sha256 != theirs.sha256:
            yield Difference("files", path, *(None if each is None else each.size_bytes for each in (ours, theirs)))
