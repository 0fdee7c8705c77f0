"""Sensor readings of the space shuttle's radiators, in which 7 % are anomalies."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.csv

from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.ready.described import ReadySet, as_dataset
from lepton_ai.datasets.ready.sources import Source
from lepton_ai.datasets.schema import Column, Schema

_SENSORS = tuple(f"f{number}" for number in range(1, 10))
_CLASSES = ("normal", "anomaly")
_SCHEMA = Schema((*(Column(name, "number") for name in _SENSORS), Column("state", "category", "target", _CLASSES)))
_SOURCE = Source(
    folder="shuttle",
    files=("shuttle.csv.gz",),
    package="river",
    package_folder="datasets",
    install="pip install --no-deps river==0.26.1",
)


class Shuttle(metaclass=ReadySet):
    """Nine readings at a time, and whether they are normal."""

    description = (
        "49,097 readings of nine sensors of the space shuttle, 3,511 of them anomalies: the states 2, 3, 5, 6 and 7 of "
        "Statlog (Shuttle) against state 1, as the ODDS benchmark has it."
    )
    source = "Statlog (Shuttle), J. Catlett and NASA, UCI repository; read from the package river"
    license = "package BSD-3-Clause; data CC BY 4.0"

    @classmethod
    def load(cls, root: str | Path | None = None) -> Dataset:
        """All readings in the order of the file. Raises NotFound that says what to install."""
        table = pyarrow.csv.read_csv(_SOURCE.find(root) / _SOURCE.files[0])
        columns = {name: table[name].cast(pa.float64()) for name in _SENSORS}
        return as_dataset(cls, {**columns, "state": pa.array(_CLASSES).take(table["anomaly"])}, _SCHEMA)

    @classmethod
    def split(
        cls, root: str | Path | None = None, *, seed: int = 0, train_on: Literal["all", "normal"] = "all"
    ) -> tuple[Dataset, Dataset]:
        """80 % to train and 20 % to test, stratified.

        With train_on="normal" the anomalies leave the training part, for a model that learns what is normal.
        """
        train, test = cls.load(root).split(0.2, seed=seed)
        return (train if train_on == "all" else train.filter(train.target_ids() == _CLASSES.index("normal"))), test
