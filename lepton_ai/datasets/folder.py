"""A folder of images or sounds, one folder for each class: paths in a column, bytes read when a row is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pyarrow as pa

from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.inference import natural_order
from lepton_ai.datasets.lineage import Lineage
from lepton_ai.datasets.media import ENDINGS
from lepton_ai.datasets.schema import Column, Schema
from lepton_ai.errors import InvalidInput, NotFound

_MAX_DEPTH = 16


def read_folder(
    root: str | os.PathLike[str],
    kind: Literal["image", "sound"] = "image",
    *,
    engine: Literal["ray"] | None = None,
    workers: int | None = None,
) -> Dataset:
    """A data set of the files under `root`: column "image" or "sound", and "label" when folders lie below it.

    The label is the name of the first folder below `root`; files of other endings, and files and folders that start
    with a dot, are left out. The order is that of the names. With engine="ray" the folders are listed by several
    processes. Raises NotFound and InvalidInput.
    """
    folder = Path(root)
    if kind not in ENDINGS:
        raise InvalidInput.of_field("kind", f"{kind!r} is not a kind of file", fix="Use image or sound.")
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder}.", fix="Check the path.")
    classes = sorted((entry.name for entry in os.scandir(folder) if _is_class(entry)), key=natural_order)
    from lepton_ai.datasets.parallel import in_order

    found = list(in_order(_ListFiles(folder, kind), ["", *classes], engine=engine, workers=workers))
    paths, labels = _rows(found, ["", *classes])
    if not paths:
        raise _nothing(folder, kind)
    if labels.count(None) not in (0, len(labels)):
        raise InvalidInput(
            f"{labels.count(None)} of {len(paths)} {kind} files lie beside the class folders, not in one.",
            fix="Move each file into the folder of its class.",
        )
    return _dataset(folder.absolute(), kind, paths, [label for label in labels if label is not None])


class _ListFiles:
    """Lists one class; a value of its own so that another process can be given it."""

    def __init__(self, root: Path, kind: str) -> None:
        self._root = root
        self._endings = ENDINGS[kind]

    def __call__(self, label: str) -> list[str]:
        if label:
            return sorted(self._walk(self._root / label, 0))
        own = (entry for entry in os.scandir(self._root) if entry.is_file())
        return sorted(entry.name for entry in own if self._wanted(entry.name))

    def _walk(self, folder: Path, depth: int) -> Iterator[str]:
        if depth > _MAX_DEPTH:
            raise InvalidInput(
                f"The folders of {self._root.name} are nested too deeply.", fix="Check for links in rings."
            )
        for entry in os.scandir(folder):
            if entry.is_dir() and not entry.name.startswith("."):
                yield from self._walk(Path(entry.path), depth + 1)
            elif entry.is_file() and self._wanted(entry.name):
                yield Path(entry.path).relative_to(self._root).as_posix()

    def _wanted(self, name: str) -> bool:
        return not name.startswith(".") and Path(name).suffix.lower() in self._endings


def _is_class(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir() and not entry.name.startswith((".", "__"))


def _rows(found: list[list[str]], classes: list[str]) -> tuple[list[str], list[str | None]]:
    paths: list[str] = []
    labels: list[str | None] = []
    for label, files in zip(classes, found, strict=True):
        paths += files
        labels += [label or None] * len(files)
    return paths, labels


def _dataset(root: Path, kind: Literal["image", "sound"], paths: list[str], labels: list[str]) -> Dataset:
    columns = [Column(kind, kind, root=str(root), note=f"paths of {kind} files")]
    arrays: dict[str, pa.Array] = {kind: pa.array(paths)}
    if labels:
        categories = tuple(sorted(set(labels), key=natural_order))
        columns.append(Column("label", "category", "target", categories, note="name of the folder"))
        arrays["label"] = pa.array(labels)
    return Dataset(
        pa.table(arrays), Schema(tuple(columns)), name=root.name, lineage=Lineage(source=f"folder {root.name}")
    )


def _nothing(folder: Path, kind: str) -> InvalidInput:
    endings = " ".join(sorted(ENDINGS[kind]))
    return InvalidInput(
        f"There are no {kind} files in {folder.name}.",
        reason="EMPTY_SET",
        fix=f"Put files ending in {endings} into one folder for each class.",
    )
