"""Dogs and cats: your photos when there are any, else drawings that are made on the spot."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.lineage import Lineage
from lepton_ai.datasets.ready.described import ReadySet
from lepton_ai.datasets.ready.photo_folders import CLASSES, LAYOUTS, Animal, Photo, PhotoFolder, read_photo_folder
from lepton_ai.datasets.ready.pictures import png
from lepton_ai.datasets.ready.sources import DATA_DIRECTORY_VARIABLE, data_folders
from lepton_ai.datasets.schema import Column, Schema
from lepton_ai.datasets.spool import Spool, collect
from lepton_ai.errors import InvalidInput, NotFound

_log = logging.getLogger(__name__)

_FOLDER = "dogs-and-cats"
_TEST_SHARE = 0.2
_SMALLEST, _LARGEST = 32, 1024
_BATCH_PICTURES = 100
_PARTS = ("train", "test")


class DogsAndCats(metaclass=ReadySet):
    """Pictures of cats and dogs, and which of the two each shows."""

    description = (
        "pictures of cats and dogs. With root= or LEPTON_DATA_DIR: the photos that lie there. Without: simple drawings "
        "in colour, made for this when asked for, 2,000 to train and 500 to test, as many cats as dogs; pose, colours, "
        "background, size, place, light, noise and what hides a part vary alike for both, so that only the shape tells."
    )
    source = "your own photos, or drawings made by Lepton"
    license = "photos: yours; drawings: Apache-2.0, as Lepton"

    @classmethod
    def load(
        cls, root: str | Path | None = None, *, size: int = 128, train: int = 2000, test: int = 500, seed: int = 0
    ) -> Dataset:
        """The pictures to train and those to test as one data set; see `split`."""
        photos = _find_photos(root)
        if photos is not None:
            return _photo_set(photos, (*photos.train, *photos.test), "")
        return Dataset.concat(_drawings(size, (train, test), seed))

    @classmethod
    def split(
        cls, root: str | Path | None = None, *, size: int = 128, train: int = 2000, test: int = 500, seed: int = 0
    ) -> tuple[Dataset, Dataset]:
        """Train and test.

        Photos below `root`, or below LEPTON_DATA_DIR, are split as their folders say (train/ and test/ or validation/),
        else 80 to 20 and stratified; files that are no pictures are left out and counted in the log. Without photos
        `train` and `test` drawings of `size`×`size` pixels are made, the same for the same seed, and the log says so.

        Raises NotFound when `root` holds no photos of both in one of the usual layouts, InvalidInput for numbers that
        cannot be.
        """
        photos = _find_photos(root)
        if photos is None:
            train_part, test_part = _drawings(size, (train, test), seed)
            return train_part, test_part
        if not photos.test:
            return _photo_set(photos, photos.train, "").split(_TEST_SHARE, seed=seed)
        return _photo_set(photos, photos.train, "train"), _photo_set(photos, photos.test, "test")


def _find_photos(root: str | Path | None) -> PhotoFolder | None:
    folders = [Path(root)] if root is not None else data_folders(_FOLDER)
    photos = next((found for folder in folders if (found := read_photo_folder(folder)) is not None), None)
    if photos is not None and photos.broken:
        shown = ", ".join(photos.broken[:3]) + (", …" if len(photos.broken) > 3 else "")
        count = len(photos.broken) + len(photos.train) + len(photos.test)
        _log.warning("%d of %d files are no pictures and are left out: %s", len(photos.broken), count, shown)
    if photos is not None and {photo.label for photo in photos.train} == set(CLASSES):
        return photos
    if root is None:
        return None
    raise NotFound(
        "The folder given as root does not hold photos of both cats and dogs.",
        reason="DATA_NOT_FOUND",
        fix=f"Put them into one of these layouts: {LAYOUTS}; or leave root out to have drawings.",
    )


def _photo_set(folder: PhotoFolder, photos: Sequence[Photo], part: str) -> Dataset:
    table = pa.table({"image": [photo.path for photo in photos], "label": [photo.label for photo in photos]})
    name = f"{DogsAndCats.__name__} photos {part}".rstrip()
    return Dataset(table, _schema(root=str(folder.root)), name=name, lineage=Lineage(source=name))


def _drawings(size: int, counts: Sequence[int], seed: int) -> list[Dataset]:
    if not _SMALLEST <= size <= _LARGEST:
        raise InvalidInput.of_field("size", f"{size} pixels", fix=f"Use {_SMALLEST} to {_LARGEST}.")
    for part, count in zip(_PARTS, counts, strict=True):
        if count < len(CLASSES):
            raise InvalidInput.of_field(part, f"{count} pictures are too few", fix="Ask for one of each or more.")
    if seed < 0:
        raise InvalidInput.of_field("seed", f"{seed} is negative", fix="Use 0, 1, 2 and so on.")
    _say_that_they_are_drawings()
    return [_drawing_set(_PARTS[number], [seed, number], count=count, size=size) for number, count in enumerate(counts)]


@cache
def _say_that_they_are_drawings() -> None:
    _log.warning(
        "DogsAndCats has no photos here, so it draws simple cats and dogs: what learns from drawings knows drawings. "
        "For photos name their folder with root= or %s.",
        DATA_DIRECTORY_VARIABLE,
    )


def _drawing_set(part: str, seed: list[int], *, count: int, size: int) -> Dataset:
    labels = np.random.default_rng(seed).permutation(np.arange(count) % len(CLASSES))
    table = collect(_drawn_batches([CLASSES[label] for label in labels], seed, size), Spool())
    name = f"{DogsAndCats.__name__} drawings {part}"
    return Dataset(table, _schema(), name=name, lineage=Lineage(source=f"{name}: seed {seed[0]}, {size}×{size} pixels"))


def _drawn_batches(labels: Sequence[Animal], seed: list[int], size: int) -> Iterator[pa.RecordBatch]:
    """Every picture has a generator of its own, so that it does not depend on how many there are."""
    from lepton_ai.synthetic.drawing import draw_picture

    for start in range(0, len(labels), _BATCH_PICTURES):
        chosen = labels[start : start + _BATCH_PICTURES]
        pictures = [
            png(draw_picture(label, size, np.random.default_rng([*seed, start + offset])), level=1)
            for offset, label in enumerate(chosen)
        ]
        yield pa.record_batch({"image": pa.array(pictures, pa.binary()), "label": pa.array(chosen)})


def _schema(root: str = "") -> Schema:
    return Schema((Column("image", "image", root=root), Column("label", "category", "target", CLASSES)))
