"""The steps of cleaning: each takes data and gives the data that remain, how many rows it changed, and what it says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from lepton_ai.datasets import cells
from lepton_ai.datasets.profile import SAMPLE_ROWS, labels, overlap, survey_of
from lepton_ai.datasets.profile.duplicates import conflicts, first_of_each
from lepton_ai.datasets.profile.media import Broken
from lepton_ai.datasets.profile.near_duplicates import near_groups
from lepton_ai.datasets.profile.outliers import Z, limits
from lepton_ai.datasets.profile.progress import Stages
from lepton_ai.datasets.profile.sample import Rows, choose_rows, measure, measure_file
from lepton_ai.datasets.profile.tally import count_rows
from lepton_ai.datasets.profile.values import Mask, missing_cells, number_values
from lepton_ai.datasets.schema import Schema
from lepton_ai.datasets.spool import Spool, collect
from lepton_ai.file import FILE_KINDS

if TYPE_CHECKING:
    from lepton_ai.datasets.dataset import Dataset


class Outcome(NamedTuple):
    """What a step leaves, how many rows it dropped or changed, and what else is worth saying."""

    data: Dataset
    changed_rows: int
    detail: str = ""


def drop_columns(data: Dataset, names: Sequence[str]) -> Outcome:
    """Without these columns. Raises InvalidInput for unknown ones."""
    gone = {data.schema[name].name for name in names}
    kept = data.select([name for name in data.schema.names if name not in gone])
    return Outcome(kept, 0, f"columns {', '.join(names)}")


def drop_constant(data: Dataset) -> Outcome:
    """Without inputs that are the same in every row, or in none."""
    with Stages() as stages:
        tally = count_rows(data, stages)
    dull = [column.name for column in data.schema.inputs if tally.rows > 1 and tally.columns[column.name].tells_nothing]
    return drop_columns(data, dull) if dull else Outcome(data, 0, "no such column")


def drop_broken(data: Dataset) -> Outcome:
    """Without rows of which a file cannot be decoded; every file is."""
    columns = [column for column in data.schema.inputs if column.kind in FILE_KINDS]
    if not columns:
        return Outcome(data, 0, "no files")
    sound: list[Mask] = []
    with Stages() as stages:
        stages.begin("Decoding files", len(data))
        for first_row, batch in _numbered(data, [column.name for column in columns]):
            good = np.ones(batch.num_rows, dtype=bool)
            for column in columns:
                array = batch.column(column.name)
                reads = cells.holds_paths(column, array.type)
                for index, value in enumerate(array.to_pylist()):
                    measured = None if value is None else measure_file(value, column, first_row + index, reads=reads)
                    good[index] &= not isinstance(measured, Broken)
            sound.append(good)
            stages.advance(batch.num_rows)
    return _kept(data, _joined(sound), "clean.drop_broken")


def drop_missing(data: Dataset, *, only_target: bool) -> Outcome:
    """Without rows that lack a target, or that lack it or any input."""
    roles = ("target",) if only_target else ("target", "input")
    columns = [column for column in data.schema if column.role in roles]
    if not columns:
        return Outcome(data, 0, "no such column")
    masks = [
        ~np.logical_or.reduce([missing_cells(batch.column(column.name), column) for column in columns])
        for _, batch in _numbered(data, [column.name for column in columns])
    ]
    return _kept(data, _joined(masks), "clean.drop_missing")


def drop_duplicates(data: Dataset) -> Outcome:
    """Without rows that are equal to an earlier one in inputs and target."""
    with Stages() as stages:
        contents = count_rows(data, stages, max_hashed_rows=len(data) + 1).contents
    keep = np.zeros(len(data), dtype=bool)
    keep[first_of_each(contents.whole)] = True
    return _kept(data, keep, "clean.drop_duplicates")


def drop_conflicts(data: Dataset) -> Outcome:
    """Without rows that are equal to another one with a different target: nobody knows which is right."""
    target = data.schema.target
    if target is None or target.kind != "category":
        return Outcome(data, 0, "no target with classes")
    with Stages() as stages:
        contents = count_rows(data, stages, max_hashed_rows=len(data) + 1).contents
    rows, _ = conflicts(contents)
    return _without(data, rows, "clean.drop_conflicts")


def drop_near(data: Dataset, *, seed: int) -> Outcome:
    """Without rows that are nearly the same as an earlier one, among as many as a profile measures."""
    with Stages() as stages:
        sample = measure(data, choose_rows(len(data), most=SAMPLE_ROWS, seed=seed), stages)
        groups = [group for _, _, found in near_groups(sample, data.schema) for group in found]
    again = sorted({int(sample.rows[at]) for group in groups for at in group[1:]})
    outcome = _without(data, np.array(again, dtype=np.int64), "clean.drop_near_duplicates")
    return outcome if sample.complete else outcome._replace(detail=f"compared {len(sample):,} rows")


def drop_overlap(data: Dataset, other: Dataset, *, seed: int) -> Outcome:
    """Without rows that the other data have as well: equal ones of all rows, near ones as a profile finds them."""
    with Stages() as stages:
        survey = survey_of(data, other, seed=seed, sample_rows=SAMPLE_ROWS, stages=stages)
        stages.begin("Checking: overlap")
        rows = overlap.overlapping_rows(survey)
    return _without(data, rows, "clean.drop_overlap")._replace(detail="; ".join(survey.notes))


def drop_mislabelled(data: Dataset, *, seed: int) -> Outcome:
    """Without rows whose label two simple models take for another."""
    with Stages() as stages:
        survey = survey_of(data, None, seed=seed, sample_rows=SAMPLE_ROWS, stages=stages)
        stages.begin("Checking: labels")
        rows = labels.doubtful_rows(survey)
    said = "; ".join(survey.notes)
    return _without(data, rows, "clean.drop_mislabelled")._replace(detail=said)


def clip_outliers(data: Dataset, deviations: bool | float) -> Outcome:
    """With input numbers moved to the nearest value that is no outlier; limits are learnt from a sample."""
    z = Z if deviations is True else float(deviations)
    numbers = [column for column in data.schema.inputs if column.kind == "number"]
    with Stages() as stages:
        chosen = data.select([column.name for column in numbers])
        sample = measure(chosen, choose_rows(len(data), most=10 * SAMPLE_ROWS, seed=0), stages)
    found = {name: limits(values, z=z) for name, values in sample.numbers.items()}
    between = {name: pair for name, pair in found.items() if pair is not None}
    clipping = _Clipping(data.schema, between)
    table = collect((clipping.clip(batch) for _, batch in _numbered(data, None)), Spool()) if between else None
    if table is None or not clipping.changed_rows:
        return Outcome(data, 0, "nothing beyond the limits")
    parameters = {"limits": between, "changed": clipping.changed_rows}
    clipped = data.derived(table, data.schema, "clean.clip_outliers", parameters)
    counted = ", ".join(f"{name} {count:,}" for name, count in clipping.counts.items() if count)
    return Outcome(clipped, clipping.changed_rows, counted)


class _Clipping:
    def __init__(self, schema: Schema, between: dict[str, tuple[float, float]]) -> None:
        self._schema = schema
        self._between = between
        self.counts = dict.fromkeys(between, 0)
        self.changed_rows = 0

    def clip(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with limits kept; columns become float64 so that a limit need not be a whole number."""
        changed = np.zeros(batch.num_rows, dtype=bool)
        arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
        for name, (bottom, top) in self._between.items():
            numbers = number_values(arrays[name], self._schema[name])
            outside = (numbers < bottom) | (numbers > top)
            self.counts[name] += int(outside.sum())
            changed |= outside
            arrays[name] = pa.array(numbers.clip(bottom, top), pa.float64(), from_pandas=True)
        self.changed_rows += int(changed.sum())
        return pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))


def _numbered(data: Dataset, names: Sequence[str] | None) -> Iterator[tuple[int, pa.RecordBatch]]:
    first_row = 0
    for batch in data.batches(names):
        yield first_row, batch
        first_row += batch.num_rows


def _joined(masks: list[Mask]) -> Mask:
    return np.concatenate([np.empty(0, dtype=bool), *masks])


def _without(data: Dataset, rows: Rows, operation: str) -> Outcome:
    keep = np.ones(len(data), dtype=bool)
    keep[rows] = False
    return _kept(data, keep, operation)


def _kept(data: Dataset, keep: Mask, operation: str) -> Outcome:
    dropped = int((~keep).sum())
    if not dropped:
        return Outcome(data, 0)
    return Outcome(data.taken(np.flatnonzero(keep), operation, {"dropped": dropped}), dropped)
