"""Finds labelled photos in the folder layouts in which cats and dogs are usually handed around."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from lepton_ai.datasets.media import IMAGE_ENDINGS
from lepton_ai.pipeline.image_header import BrokenHeader, UnknownFormat, read_header

Animal = Literal["cat", "dog"]
Labelled = tuple[Path, Animal]

# A header, also behind a large preview picture, lies within this.
_HEADER_BYTES = 256 * 1024
_TRAIN_FOLDERS = ("train", "training", "training_set")
_TEST_FOLDERS = ("test", "testing", "test_set", "validation", "valid", "val")
_CLASS_FOLDERS: dict[str, Animal] = {"cat": "cat", "cats": "cat", "猫": "cat", "dog": "dog", "dogs": "dog", "狗": "dog"}
_CLASS_FILE = re.compile(r"(cat|dog)s?[._ -]", re.IGNORECASE)
CLASSES: tuple[Animal, ...] = get_args(Animal)
LAYOUTS = "cats/ and dogs/, train/cats/ and train/dogs/, train/cat.0.jpg and train/dog.0.jpg, or PetImages/Cat and Dog"


@dataclass(frozen=True)
class Photo:
    """One file, by its path below the root, and what it shows."""

    path: str
    label: Animal


@dataclass(frozen=True)
class PhotoFolder:
    """What a folder holds. `test` is empty when there is no folder for it."""

    root: Path
    train: tuple[Photo, ...]
    test: tuple[Photo, ...]
    broken: tuple[str, ...]
    """Files named as pictures which are empty or none; they are in neither part."""


def read_photo_folder(root: Path) -> PhotoFolder | None:
    """The photos below a folder or below one of its subfolders; None when none of the layouts is there."""
    if not root.is_dir():
        return None
    for base in (root, *_subfolders(root)):
        train = _first_labelled(_named(base, _TRAIN_FOLDERS)) or _labelled(base)
        if train:
            test = _first_labelled(_named(base, _TEST_FOLDERS))
            return _checked(root, train, test)
    return None


def _first_labelled(folders: Iterable[Path]) -> list[Labelled]:
    return next((found for folder in folders if (found := _labelled(folder))), [])


def _labelled(folder: Path) -> list[Labelled]:
    """The pictures of both classes, by their folder or else by their name; nothing when one class is missing."""
    by_folder = [
        (path, label)
        for each in _subfolders(folder)
        if (label := _CLASS_FOLDERS.get(each.name.lower()))
        for path in _pictures(each)
    ]
    by_name: Iterator[Labelled] = (
        (path, _CLASS_FOLDERS[match[1].lower()])
        for path in _pictures(folder)
        if (match := _CLASS_FILE.match(path.name))
    )
    for found in (by_folder, list(by_name)):
        if {label for _, label in found} == set(CLASSES):
            return found
    return []


def _checked(root: Path, train: list[Labelled], test: list[Labelled]) -> PhotoFolder:
    broken: list[str] = []
    parts: list[list[Photo]] = []
    for part in (train, test):
        photos = [(Photo(path.relative_to(root).as_posix(), label), path) for path, label in part]
        readable = [_is_picture(path) for _, path in photos]
        parts.append([photo for (photo, _), is_fine in zip(photos, readable, strict=True) if is_fine])
        broken.extend(photo.path for (photo, _), is_fine in zip(photos, readable, strict=True) if not is_fine)
    return PhotoFolder(root, tuple(parts[0]), tuple(parts[1]), tuple(broken))


def _is_picture(path: Path) -> bool:
    """Whether the file begins as a picture that pipelines decode."""
    try:
        with path.open("rb") as file:
            header = read_header(file.read(_HEADER_BYTES))
    except (OSError, UnknownFormat, BrokenHeader):
        return False
    return header.width > 0 and header.height > 0


def _pictures(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir(), key=_in_order) if path.suffix.lower() in IMAGE_ENDINGS)


def _in_order(path: Path) -> tuple[int, str]:
    """cat.9.jpg before cat.10.jpg."""
    number = re.search(r"\d+", path.name)
    return int(number[0]) if number and len(number[0]) < 10 else -1, path.name


def _named(base: Path, names: tuple[str, ...]) -> list[Path]:
    return [folder for name in names for folder in _subfolders(base) if folder.name.lower() == name]


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
