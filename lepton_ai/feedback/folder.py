"""Examples as a folder: a table with a row for each, and pictures and sounds as files that it names."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from lepton_ai.archive import replacing
from lepton_ai.errors import FailedPrecondition
from lepton_ai.feedback.examples import Example, Examples
from lepton_ai.feedback.files import ending_of

TABLE = "examples.csv"
_FILES = "files"
_ORIGIN = (
    "label",
    "prediction_id",
    "version",
    "predicted_at",
    "predicted",
    "score",
    "said_at",
    "source_kind",
    "source",
)


def write_folder(examples: Examples, directory: Path) -> Path:
    """Write them; `la.datasets.read_table` reads the table that this returns. Raises NotFound, FailedPrecondition.

    The folder must be new or empty. Inputs that are called like a column about the example get an `input_` before.
    """
    examples.check_some()
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise FailedPrecondition(f"{directory} is not empty.", reason="NOT_EMPTY", fix="Name another folder.")
    inputs = list(examples.kinds) or list(examples.examples[0].inputs)
    names = [f"input_{name}" if name in _ORIGIN else name for name in inputs]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*names, *_ORIGIN])
    for each in examples:
        cells = [_cell(each, name, directory) for name in inputs]
        writer.writerow([*cells, *(_plain(getattr(each, name)) for name in _ORIGIN)])
    with replacing(directory / TABLE) as file:
        file.write(text.getvalue().encode())
    return directory / TABLE


def _cell(example: Example, name: str, directory: Path) -> object:
    value = example.inputs.get(name)
    if isinstance(value, bytes):
        folder = directory / _FILES
        folder.mkdir(exist_ok=True)
        file = folder / f"{example.prediction_id}-{list(example.inputs).index(name)}{ending_of(value)}"
        file.write_bytes(value)
        return file.relative_to(directory).as_posix()
    return _plain(value)


def _plain(value: Any) -> object:
    if isinstance(value, np.ndarray):
        return json.dumps(value.tolist())
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return "" if value is None else value
