"""The first pass: counts over all rows in bounded memory, and a hash of every row's content."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lepton_ai.datasets.profile.finding import MAX_LISTED_ROWS
from lepton_ai.datasets.profile.progress import Stages
from lepton_ai.datasets.profile.values import Hashes, cell_hashes, joined, missing_cells
from lepton_ai.datasets.schema import Column, Schema

if TYPE_CHECKING:
    from lepton_ai.datasets.dataset import Dataset

MAX_HASHED_ROWS = 32_000_000
"""Of more rows only those are kept whose hash falls into a share of the space: equal rows stay together."""


@dataclass
class ColumnTally:
    """What is counted of one column."""

    column: Column
    missing: int = 0
    missing_rows: list[int] = field(default_factory=list)
    present: int = 0
    low_hash: int = 2**64 - 1
    high_hash: int = 0

    @property
    def constant(self) -> bool:
        """Whether all values that are there are the same."""
        return self.present > 0 and self.low_hash == self.high_hash

    @property
    def tells_nothing(self) -> bool:
        """Whether every row has the same value, or none has any; a value that some rows lack does tell something."""
        return not self.present or (self.constant and not self.missing)

    def update(self, array: pa.Array, hashes: Hashes, first_row: int) -> None:
        """Count in some rows."""
        missing = missing_cells(array, self.column)
        count = int(missing.sum())
        self.missing += count
        if count and len(self.missing_rows) < MAX_LISTED_ROWS:
            self.missing_rows.extend((first_row + np.flatnonzero(missing)[:MAX_LISTED_ROWS]).tolist())
        there = hashes[~missing]
        self.present += len(there)
        if len(there):
            self.low_hash = min(self.low_hash, int(there.min()))
            self.high_hash = max(self.high_hash, int(there.max()))


@dataclass(frozen=True)
class Contents:
    """Which rows hold the same: hashes in the order of the rows they belong to."""

    rows: np.ndarray[tuple[int], np.dtype[np.int64]]
    inputs: Hashes
    """Of what a model is given."""
    whole: Hashes
    """Of that and the target."""
    share: int = 1
    """1 in so many contents is here; 1 means all."""


@dataclass(frozen=True)
class Tally:
    """The result of the first pass."""

    rows: int
    columns: dict[str, ColumnTally]
    contents: Contents


def content_columns(schema: Schema) -> tuple[Column, ...]:
    """What makes two rows the same for a model: inputs and time; of data without inputs, all but what is ignored."""
    chosen = tuple(column for column in schema if column.role in ("input", "time"))
    inputs = any(column.role == "input" for column in chosen)
    return chosen if inputs else tuple(column for column in schema if column.role not in ("ignore", "target"))


def count_rows(data: Dataset, stages: Stages, *, max_hashed_rows: int = MAX_HASHED_ROWS) -> Tally:
    """One pass over all rows. Files are read for their content, not decoded."""
    stages.begin("Reading all rows", len(data))
    tallies = {column.name: ColumnTally(column) for column in data.schema}
    inputs = [column.name for column in content_columns(data.schema)]
    targets = [column.name for column in data.schema if column.role == "target"]
    share = -(-len(data) // max_hashed_rows) or 1
    parts: list[tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Hashes, Hashes]] = []
    first_row = 0
    for batch in data.batches():
        hashes = _tally(batch, tallies, first_row)
        given = joined([hashes[name] for name in inputs], batch.num_rows)
        whole = joined([given, *(hashes[name] for name in targets)], batch.num_rows)
        kept = np.flatnonzero(given % np.uint64(share) == 0)
        parts.append((kept + first_row, given[kept], whole[kept]))
        first_row += batch.num_rows
        stages.advance(batch.num_rows)
    return Tally(first_row, tallies, _contents(parts, share))


def _tally(batch: pa.RecordBatch, tallies: dict[str, ColumnTally], first_row: int) -> dict[str, Hashes]:
    hashes = {}
    for name, tally in tallies.items():
        array = batch.column(name)
        hashes[name] = cell_hashes(array, tally.column, first_row)
        tally.update(array, hashes[name], first_row)
    return hashes


def _contents(parts: list[tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Hashes, Hashes]], share: int) -> Contents:
    if not parts:
        empty = np.empty(0, dtype=np.uint64)
        return Contents(np.empty(0, dtype=np.int64), empty, empty, share)
    rows, given, whole = (np.concatenate(pieces) for pieces in zip(*parts, strict=True))
    return Contents(rows, given, whole, share)
