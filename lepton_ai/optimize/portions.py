"""Which rows calibrate and train, and which ones judge: never the same, unless there are too few."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lepton_ai.optimize.decoder import decodes_pictures
from lepton_ai.optimize.right_answers import column_of_answers
from lepton_ai.optimize.rows import Rows, dataset_rows, golden_rows
from lepton_ai.package import Package

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset
    from lepton_ai.models.data import Data

_MOST_CALIBRATION, _MOST_JUDGED = 100, 5000
_LEAST_PARTED = 8
_SEED = 0


@dataclass(frozen=True)
class Portions:
    """Rows by what they are for, in an order that is always the same."""

    calibration: Rows
    """To find ranges of activations with."""
    judged: Rows
    train: Dataset | None
    """To train on; None without a data set."""
    are_parted: bool
    """Whether no row has two purposes. Else figures are too good."""
    sent: Dataset | None = None
    """The judged rows as they are sent, where they are pictures that the pipeline decodes."""

    @property
    def digest(self) -> str:
        """SHA-256 over the rows."""
        return hashlib.sha256((self.calibration.digest + self.judged.digest).encode()).hexdigest()

    @property
    def are_labelled(self) -> bool:
        """Whether what is right is known."""
        return self.judged.targets is not None

    @property
    def answers(self) -> str | None:
        """The column that says what is right, where there is one."""
        target = None if self.train is None else self.train.schema.target
        return target.name if self.are_labelled and target is not None else None

    @property
    def are_trainable(self) -> bool:
        """Whether there are rows with answers to train on."""
        return self.train is not None and self.train.schema.target is not None


def portion(
    package: Package, data: Data | Path | str | None, train: Data | Path | str | None = None, *, answer: str = ""
) -> Portions:
    """Rows for a package. Without `train`, half of `data` calibrates and trains; without both, golden samples do all.

    `answer`: the column of a table with the right answers; by default the one that holds the model's labels.

    Raises InvalidInput for rows that the model does not take, NotFound.
    """
    if data is None:
        golden = golden_rows(package)
        return Portions(golden, golden, None, are_parted=False)
    dataset = _as_dataset(data, package, answer)
    rows = dataset_rows(package, dataset)
    are_sent = decodes_pictures(package.pipeline_document())
    if train is not None:
        material = _as_dataset(train, package, answer)
        chosen = _order(len(material))[:_MOST_CALIBRATION]
        calibration = dataset_rows(package, material.take(chosen))
        sent = dataset[:_MOST_JUDGED] if are_sent else None
        return Portions(calibration, rows.take(slice(_MOST_JUDGED)), material, are_parted=True, sent=sent)
    order = _order(len(rows))
    if len(rows) < _LEAST_PARTED:
        return Portions(rows, rows, dataset, are_parted=False, sent=dataset if are_sent else None)
    first, second = np.array_split(order, 2)
    chosen = np.sort(second[:_MOST_JUDGED])
    calibration, judged = rows.take(first[:_MOST_CALIBRATION]), rows.take(chosen)
    sent = dataset.take(chosen) if are_sent else None
    return Portions(calibration, judged, dataset.take(first), are_parted=True, sent=sent)


def _order(count: int) -> Any:
    return np.random.default_rng(_SEED).permutation(count)


def _as_dataset(data: Any, package: Package, answer: str) -> Dataset:
    """Rows of wherever they are. Raises InvalidInput, NotFound."""
    if not isinstance(data, str | Path):
        from lepton_ai.models.data import as_dataset

        return as_dataset(data)
    from lepton_ai.datasets import Dataset, read_folder, read_table

    path = Path(data)
    if path.is_dir():
        kinds = {str(package.description.input_kind(name)) for name in _inputs(package)}
        return read_folder(path, kind="sound" if kinds == {"sound"} else "image")
    if path.suffix == ".arrow":
        return Dataset.open(path)
    if answer:
        return read_table(path, target=answer)
    table = read_table(path)
    found = column_of_answers(package, table, _inputs(package))
    return table if found is None else read_table(path, target=found)


def _inputs(package: Package) -> list[str]:
    section = package.description.preprocess
    return list(section.inputs) if section else [spec.name for spec in package.description.inputs]
