"""Fashion-MNIST: 70,000 pictures of clothes, from the Debian package or from its four files wherever they lie."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.ready.described import ReadySet, as_dataset
from lepton_ai.datasets.ready.pictures import png_array
from lepton_ai.datasets.ready.sources import Source
from lepton_ai.datasets.schema import Column, Schema
from lepton_ai.errors import DataLoss
from lepton_ai.tensors import Array

_PARTS = {"train": "train", "test": "t10k"}
_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_SCHEMA = Schema((Column("image", "image"), Column("label", "category", "target", _CLASSES)))
_SOURCE = Source(
    folder="fashion-mnist",
    files=tuple(f"{part}-{what}-ubyte.gz" for part in _PARTS.values() for what in ("images-idx3", "labels-idx1")),
    system_folder="/usr/share/datasets/fashion-mnist",
    install="apt-get install dataset-fashion-mnist",
)


class FashionMNIST(metaclass=ReadySet):
    """Grey pictures of clothes, 28×28, in ten classes of 7,000."""

    description = "70,000 grey pictures of clothes, 28×28, in ten classes of 7,000; 60,000 to train and 10,000 to test."
    source = "Fashion-MNIST by H. Xiao, K. Rasul and R. Vollgraf (Zalando), Debian package dataset-fashion-mnist"
    license = "MIT"

    @classmethod
    def load(cls, root: str | Path | None = None) -> Dataset:
        """All 70,000: first the 60,000 to train, then the 10,000 to test. Raises NotFound that says what to install."""
        return Dataset.concat(cls.split(root))

    @classmethod
    def split(cls, root: str | Path | None = None, *, seed: int = 0) -> tuple[Dataset, Dataset]:
        """The official train and test parts in the order of the files; `seed` changes nothing.

        Raises NotFound that says what to install, DataLoss for a file that is cut or is another one.
        """
        folder = _SOURCE.find(root)
        train, test = (_part(cls, folder, part) for part in _PARTS)
        return train, test


def _part(ready: ReadySet, folder: Path, part: str) -> Dataset:
    pictures = read_idx(folder / f"{_PARTS[part]}-images-idx3-ubyte.gz", dimensions=3)
    labels = read_idx(folder / f"{_PARTS[part]}-labels-idx1-ubyte.gz", dimensions=1)
    if len(pictures) != len(labels) or labels.max(initial=0) >= len(_CLASSES):
        raise _broken(f"the {part} pictures and labels")
    columns = {"image": png_array(pictures), "label": pa.array(_CLASSES).take(pa.array(labels))}
    return as_dataset(ready, columns, _SCHEMA, part=part)


def read_idx(path: Path, *, dimensions: int) -> Array:
    """A gzipped IDX file of bytes as an array; the format is that of the MNIST files. Raises DataLoss."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _broken(path.name) from error
    if content[:4] != bytes((0, 0, 8, dimensions)):  # 8 stands for unsigned bytes
        raise _broken(path.name)
    shape = np.frombuffer(content, ">u4", count=dimensions, offset=4).astype(np.int64)
    body = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
    if body.size != int(shape.prod()):
        raise _broken(path.name)
    return body.reshape(shape)


def _broken(what: str) -> DataLoss:
    return DataLoss(f"Fashion-MNIST: {what} cannot be read as what it should be.", fix=f"Again: {_SOURCE.install}.")
