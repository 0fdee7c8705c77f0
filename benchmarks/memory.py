"""Memory: how much of it reading, profiling, splitting and training take when the table is larger than wanted there."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from benchmarks.report import Report

NUMBERS, CATEGORIES = 16, 4
TEXT_BYTES = 8
"""A length and on average four letters, as Parquet and Arrow write them."""
ROW_BYTES = NUMBERS * 8 + (CATEGORIES + 1) * TEXT_BYTES
_GROUP_ROWS = 65_536


def measure(*, gigabytes: float) -> list[Report]:
    """Write a table of this size, go through it in a process of its own, delete it."""
    rows = max(100, int(gigabytes * 1e9 / ROW_BYTES))
    with tempfile.TemporaryDirectory(prefix="lepton-bench-") as directory:
        file = write_table(Path(directory) / "rows.parquet", rows)
        stages = _go_through(file, Path(directory) / "cache")
        size_bytes = file.stat().st_size
    table = [
        [stage["name"], f"{stage['duration_s']:.0f}", f"{stage['anonymous_mb']:,.0f}", f"{stage['resident_mb']:,.0f}"]
        for stage in stages
    ]
    note = (
        f"{rows:,} rows of {NUMBERS} numbers, {CATEGORIES} categories and a label; {size_bytes / 1e9:.1f} GB as "
        "Parquet. Own memory is what only the process has (RssAnon); the highest resident size (VmHWM so far) also "
        "counts pages of mapped files, which the system takes back when it needs them."
    )
    columns = ("stage", "seconds", "peak of own memory MB", "highest resident size MB")
    return [Report(f"Memory: a table of {gigabytes:g} GB", columns, table, note)]


def write_table(file: Path, rows: int) -> Path:
    """Rows of which a class can be learned, written group by group."""
    random = np.random.default_rng(0)
    writer: parquet.ParquetWriter | None = None
    for start in range(0, rows, _GROUP_ROWS):
        table = _group(random, min(_GROUP_ROWS, rows - start))
        writer = writer or parquet.ParquetWriter(file, table.schema, compression="none", use_dictionary=False)
        writer.write_table(table)
    if writer is not None:
        writer.close()
    return file


def _group(random: np.random.Generator, rows: int) -> pa.Table:
    numbers = random.normal(size=(NUMBERS, rows))
    columns: dict[str, pa.Array] = {f"number_{i}": pa.array(values) for i, values in enumerate(numbers)}
    for index in range(CATEGORIES):
        columns[f"category_{index}"] = pa.array(np.array(["red", "green", "blue"])[random.integers(0, 3, rows)])
    columns["label"] = pa.array(np.where(numbers[0] + numbers[1] > 0, "yes", "no"))
    return pa.table(columns)


def _go_through(file: Path, cache: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "benchmarks.table_run", str(file), str(cache)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    stages: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    return stages
