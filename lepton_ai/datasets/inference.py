"""Guesses kind and role of every column from its type, its name and a sample of its values, and says why."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lepton_ai.datasets import cells
from lepton_ai.datasets.csv_file import found_of
from lepton_ai.datasets.media import kind_of_bytes, kind_of_path
from lepton_ai.datasets.schema import Column, Kind, Role, Schema, unknown_column
from lepton_ai.datasets.texts.column_survey import TEXTS, Found, found_in_all, survey_of
from lepton_ai.pipeline.reading import Reading

TARGET_NAMES = (
    "label", "labels", "target", "y", "class", "classes", "标签", "目标", "类别", "分类", "标注", "outcome", "churn",
)  # fmt: skip

_SAMPLE_ROWS = 20_000
_SAMPLE_SLICES = 32
_SAMPLE_BYTES = 4 * 1024 * 1024
_MAX_CATEGORIES = 10_000
_MAX_CATEGORY_CHARS = 64
_MOST = 0.95
_EXACT = 2**53
_FILE_KINDS: tuple[Kind, ...] = ("image", "sound")
_ID_NAME = re.compile(r"(^|[_\s.-])(id|uuid|guid|index|idx|rowid|no|nr)$|(编号|序号|ID|Id|号)$|^(unnamed.*|column_1)$")
_UUID = re.compile(r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$|^[0-9a-fA-F]{16,}$")
_QUANTITY_NAME = re.compile(r"price|amount|score|rating|age|income|salary|size|价格|金额|评分|年龄|收入|面积", re.I)


_TEXTS = Found("text")


@dataclass(frozen=True)
class _Sample:
    """What the guesses look at: some cells of a column and what is counted about them."""

    name: str
    type: pa.DataType
    present: list[Any]
    rows: int
    distinct: int
    found: Found = _TEXTS
    """What its texts are, or were before they were read."""

    @property
    def unique(self) -> bool:
        return self.distinct == self.rows and self.rows > 1

    def most(self, test: Callable[[Any], bool]) -> bool:
        """Whether nearly all of some hundred values pass a test."""
        some = self.present[:: max(1, len(self.present) // 500)]
        return bool(some) and sum(test(value) for value in some) >= _MOST * len(some)


_COUNTS = "counts the rows"


def infer_schema(table: pa.Table, target: str | None = None, *, root: str = "") -> Schema:
    """See `Schema.infer`. Raises InvalidInput when `target` is not a column."""
    names = tuple(table.column_names)
    if target is not None and target not in names:
        raise unknown_column(target, names)
    target = target if target is not None else guess_target(names)
    found = _found(table)
    columns = [infer_column(name, table.column(name), target=name == target, found=found.get(name)) for name in names]
    columns = [replace(column, root=root) if column.kind in ("image", "sound") else column for column in columns]
    return Schema(tuple(_some_input(_one_time(columns))))


def guess_target(names: Sequence[str]) -> str | None:
    """The first column with a name that targets usually have; None when there is none."""
    lowered = {name.strip().lower(): name for name in reversed(names)}
    return next((lowered[name] for name in TARGET_NAMES if name in lowered), None)


def infer_column(name: str, data: pa.ChunkedArray, *, target: bool = False, found: Found | None = None) -> Column:
    """One column as its values suggest; `found` is what its texts are, when that is known."""
    if found is None and cells.holds_texts(data.type):
        found = survey_of(data).found()
    sample = _sample(name, data, found or _TEXTS)
    kind, role, note = _guess(sample, target=target)
    if target:
        role, note = "target", note or "named as the target"
    note = "; ".join(filter(None, (note, sample.found.note)))
    column = Column(
        name, kind, role, note=note, decided=sample.found.note, reading=_reading(kind, data.type, sample.found)
    )
    return replace(column, categories=categories_of(data)) if kind == "category" else column


def _found(table: pa.Table) -> dict[str, Found]:
    """What the texts of the columns are, or were when they were read from CSV."""
    read = {field.name: found for field in table.schema if (found := found_of(field)) is not None}
    texts = [field.name for field in table.schema if cells.holds_texts(field.type) and field.name not in read]
    return read | found_in_all({name: survey_of(table.column(name)) for name in texts}, None, None)


def _reading(kind: Kind, data_type: pa.DataType, found: Found) -> Reading | None:
    """How the column's texts are, or were, read; None where they are kept as they are."""
    if cells.holds_texts(data_type):  # otherwise they were read already
        fits = (found.reading.of == "texts") != (kind in ("number", "time")) and kind not in ("image", "sound")
        return found.reading if fits and found.reading != TEXTS else None
    return None if found.reading.of == "texts" else found.reading


def categories_of(data: pa.ChunkedArray, *, limit: int = _MAX_CATEGORIES) -> tuple[str, ...]:
    """The distinct values as category names, numbers by size and texts by code point; empty when over `limit`."""
    seen: set[str] = set()
    for chunk in data.chunks:
        for start in range(0, len(chunk), 1 << 16):
            for value in pc.unique(chunk.slice(start, 1 << 16)).to_pylist():
                name = cells.category_text(value)
                if name is not None:
                    seen.add(name)
            if len(seen) > limit:
                return ()
    return tuple(sorted(seen, key=natural_order))


def natural_order(name: str) -> tuple[int, float, str]:
    """Sorts 2 before 10, and numbers before texts."""
    return (0, float(name), name) if re.fullmatch(r"-?\d{1,15}(\.\d+)?", name) else (1, 0.0, name)


def _sample(name: str, data: pa.ChunkedArray, found: Found) -> _Sample:
    rows = len(data)
    most = max(_SAMPLE_SLICES, min(_SAMPLE_ROWS, _SAMPLE_BYTES * rows // max(1, data.nbytes)))
    if rows > most:  # slices from everywhere: files are often sorted
        size = most // _SAMPLE_SLICES
        starts = np.linspace(0, rows - size, _SAMPLE_SLICES).astype(int)
        data = pa.chunked_array([chunk for start in starts for chunk in data.slice(start, size).chunks], data.type)
    if pa.types.is_nested(data.type) or cells.is_fixed_tensor(data.type):
        return _Sample(name, data.type, [], len(data), 0)
    if cells.is_binary(data.type):  # no need to compare pictures
        heads = [chunk.slice(0, 20).to_pylist() for chunk in data.chunks]
        return _Sample(name, data.type, [cell for head in heads for cell in head if cell is not None], len(data), 0)
    present = data.drop_null()
    return _Sample(name, data.type, present.to_pylist(), len(data), len(pc.unique(present)), found)


def _guess(sample: _Sample, *, target: bool) -> tuple[Kind, Role, str]:
    kind = sample.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if cells.is_list(kind) or cells.is_fixed_tensor(kind):
        return "tensor", "input", ""
    if pa.types.is_struct(kind) or pa.types.is_map(kind):
        return "text", "ignore", "nested records: give the fields columns of their own"
    if cells.is_binary(kind):
        return _guess_bytes(sample)
    if not sample.present:
        return "text", "ignore", "no value at all"
    if pa.types.is_temporal(kind):
        return _guess_temporal(sample.name, kind)
    if pa.types.is_boolean(kind):
        return "category", "input", "true or false"
    if cells.is_text(kind):
        return _guess_text(sample, target=target)
    return _guess_number(sample, target=target)


def _guess_temporal(name: str, kind: pa.DataType) -> tuple[Kind, Role, str]:
    if pa.types.is_duration(kind):
        return "number", "input", "durations, in seconds"
    if pa.types.is_time(kind):
        return "time", "ignore", f'times of day: with_kinds(**{{{name!r}: "category"}}) makes them categories'
    return "time", "time", ""


def _one_of(kind: Kind, kind_of: Callable[[Any], str | None]) -> Callable[[Any], bool]:
    return lambda value: kind_of(value) == kind


def _guess_bytes(sample: _Sample) -> tuple[Kind, Role, str]:
    for kind in _FILE_KINDS:
        if sample.most(_one_of(kind, kind_of_bytes)):
            return kind, "input", f"bytes of {kind} files"
    return "text", "ignore", "bytes of an unknown format" if sample.present else "no value at all"


def _guess_number(sample: _Sample, *, target: bool) -> tuple[Kind, Role, str]:
    whole = pa.types.is_integer(sample.type) or all(float(value).is_integer() for value in sample.present)
    is_read = sample.found.what == "number"  # from texts; a data frame says itself that these are numbers
    if is_read and pa.types.is_integer(sample.type) and any(abs(value) > _EXACT for value in sample.present):
        return _guess_code(sample, target=target, why="a number holds 16 digits")
    if target:
        if whole and not _QUANTITY_NAME.search(sample.name) and _few(sample):
            return "category", "target", f"whole numbers, {sample.distinct} different: classes"
        return "number", "target", ""
    if whole and _ID_NAME.search(sample.name):
        if sample.unique:
            return "number", "ignore", "an id: different in every row"
        return "category", "input", f"ids, {sample.distinct} different"
    if whole and sample.unique and sample.rows > 20 and _counts_up(sample.present):
        return "number", "ignore", _COUNTS
    return "number", "input", "the same in every row" if sample.distinct == 1 and sample.rows > 1 else ""


def _guess_code(sample: _Sample, *, target: bool, why: str = "") -> tuple[Kind, Role, str]:
    """What is written in digits and is no quantity: ids, postcodes, article and telephone numbers."""
    if target:
        return "category", "target", why
    if sample.unique:
        return "text", "ignore", "an id: different in every row"
    return "category", "input", "; ".join(filter(None, (f"codes, {sample.distinct} different", why)))


def _few(sample: _Sample) -> bool:
    if sample.distinct <= 20:
        return sample.distinct < len(sample.present) or sample.rows <= 2
    return sample.distinct <= 1_000 and len(sample.present) >= 10 * sample.distinct


def _counts_up(values: Sequence[Any]) -> bool:
    return all(later - earlier == 1 for earlier, later in pairwise(values[:200]))


def _guess_text(sample: _Sample, *, target: bool) -> tuple[Kind, Role, str]:
    for kind in _FILE_KINDS:
        if sample.most(_one_of(kind, kind_of_path)):
            return kind, "input", f"paths of {kind} files"
    if sample.found.what == "time":
        undecided = sample.found.reading.dates == "undecided"
        return "time", "ignore" if undecided else "time", "texts that are times"
    if sample.found.what == "number" and not (target and _few(sample)):
        return "number", "input", "texts that are numbers"
    if sample.found.what == "code":
        return _guess_code(sample, target=target)
    if target:
        short = sample.distinct <= 20 and max(len(value) for value in sample.present) <= _MAX_CATEGORY_CHARS
        return ("category" if short or _few(sample) or _category_like(sample) else "text"), "target", ""
    if sample.unique and (_ID_NAME.search(sample.name) or sample.most(lambda value: bool(_UUID.match(value)))):
        return "text", "ignore", "an id: different in every row"
    if _category_like(sample):
        note = "the same in every row" if sample.distinct == 1 and sample.rows > 1 else f"{sample.distinct} different"
        return "category", "input", note
    return "text", "input", ""


def _category_like(sample: _Sample) -> bool:
    chars = [len(value) for value in sample.present]
    if max(chars) > _MAX_CATEGORY_CHARS or sample.distinct > 1_000:
        return False
    if sample.distinct <= 20 and sample.distinct * 2 <= len(chars):
        return True
    return sample.distinct * 20 <= len(chars) and sum(chars) <= 32 * len(chars)


def _one_time(columns: Sequence[Column]) -> list[Column]:
    """Only the first time can be the data set's time; others would need to become features first."""
    kept: list[Column] = []
    for column in columns:
        if column.role == "time" and any(other.role == "time" for other in kept):
            column = replace(column, role="ignore", note="a further time")
        kept.append(column)
    return kept


def _some_input(columns: list[Column]) -> list[Column]:
    """Numbers that count up are what is learned from where there is nothing else: 0, 1, 2 … on a line."""
    if any(column.role == "input" for column in columns):
        return columns
    return [replace(column, role="input", note="") if column.note == _COUNTS else column for column in columns]
