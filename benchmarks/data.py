"""Data: rows a second through our pipeline beside the DataLoader code that a person would write."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.loaders import Pictures, TableRows, read_all
from benchmarks.report import Report
from lepton_ai.datasets import Churn, Dataset, read_folder
from lepton_ai.models import CNN, MLP
from lepton_ai.models.model import Model
from lepton_ai.training.prepared import Prepared

_ROUNDS = 5
_SIDE = 128
_PHOTO_SIZE = (500, 375)
_COLUMNS = ("", "rows/s", "ratio")

Read = Callable[[], int]


def measure(*, rounds: int = _ROUNDS, pictures: int = 512, rows: int | None = None) -> list[Report]:
    """Pictures in files, and rows of a table, each way in turns."""
    with tempfile.TemporaryDirectory(prefix="lepton-bench-") as directory:
        folder = write_pictures(Path(directory), pictures)
        ours = _ours(CNN((_SIDE, _SIDE, 3), 2), read_folder(folder))
        title = f"Data: JPEGs of {_PHOTO_SIZE[0]}×{_PHOTO_SIZE[1]} to {_SIDE}×{_SIDE}×3"
        reports = [_compare(title, ours, Pictures(folder, _SIDE), rounds)]
    customers = Churn.load()[:rows]
    return [*reports, _compare("Data: customers", _ours(MLP(), customers), _table_rows(customers), rounds)]


def write_pictures(directory: Path, count: int) -> Path:
    """JPEGs of blurred noise, which are about as large as photographs, in two folders."""
    random = np.random.default_rng(0)
    for index in range(count):
        folder = directory / ("left", "right")[index % 2]
        folder.mkdir(exist_ok=True)
        noise = random.integers(0, 256, (_PHOTO_SIZE[1], _PHOTO_SIZE[0], 3), dtype=np.uint8)
        image = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(1))
        image.save(folder / f"{index:05}.jpg", quality=90)
    return directory


def _ours(model: Model, data: Dataset) -> Read:
    pipeline, task = model.prepare(data), model.define_task(data)
    return lambda: len(Prepared.of(data, pipeline, task))


def _table_rows(data: Dataset) -> TableRows:
    table = data.table
    kinds: dict[str, dict[str, object]] = {"number": {}, "category": {}}
    for column in data.schema.inputs:
        cells = table.column(column.name)
        kinds[column.kind][column.name] = cells.to_numpy() if column.kind == "number" else cells.to_pylist()
    return TableRows(kinds["number"], kinds["category"], data.target_values())


def _compare(title: str, ours: Read, data: Pictures | TableRows, rounds: int) -> Report:
    alone, two, prepared = "DataLoader, num_workers=0", "DataLoader, num_workers=2", "Lepton's pipeline"
    ways: dict[str, Read] = {
        alone: lambda: read_all(data, workers=0),
        two: lambda: read_all(data, workers=2),
        prepared: ours,
    }
    per_s: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, read in ways.items():
            begin_s = time.perf_counter()
            count = read()
            per_s[name].append(count / (time.perf_counter() - begin_s))
    table = []
    for name, rates in per_s.items():
        ratio = statistics.median(rate / base for rate, base in zip(rates, per_s[alone], strict=True))
        table.append([name, f"{statistics.median(rates):,.0f}", f"{ratio:.2f}"])
    note = (
        f"{len(data):,} rows, medians of {rounds} rounds in turns. The DataLoader does this again in every epoch and "
        "only hands on what it read; Lepton does it once a fit, also checks every row, and keeps the result."
    )
    return Report(title, _COLUMNS, table, note)
