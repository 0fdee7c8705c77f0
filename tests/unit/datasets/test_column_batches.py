"""Columns straight from Arrow hold just what the rows of the data set hold, whatever Arrow's type."""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.datasets.column_batches import ArrowRows, column_batches
from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.schema import Column, Schema
from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Pipeline
from lepton_ai.pipeline.columns import Categories, Numbers, Unusual
from lepton_ai.pipeline.values import Limits, accept


def data_of(array: pa.Array, kind: Literal["number", "category"]) -> Dataset:
    return Dataset(pa.table({"列": array}), Schema((Column("列", kind),)))


def cells_by_column(data: Dataset, kind: str) -> list[Any]:
    found: list[Any] = []
    for batch in column_batches(data, ["列"]):
        column = batch.columns({"列": kind})["列"]
        if isinstance(column, Categories):
            found += [column.names[code] for code in column.codes]
        else:
            assert isinstance(column, Numbers)
            missing = np.zeros(len(column.values), bool) if column.missing is None else column.missing
            found += [None if gap else value for value, gap in zip(column.values.tolist(), missing, strict=True)]
    return found


def cells_by_row(data: Dataset, kind: str) -> list[Any]:
    return [accept(row, kinds={"列": kind}, limits=Limits())["列"] for row in data.rows()]


ARRAYS: Sequence[pa.Array] = [
    pa.array([1.5, None, -0.0, 3.0]),
    pa.array([1, None, 2**62 + 1]),
    pa.array([2**64 - 1, 2**53 + 1], pa.uint64()),
    pa.array([0.1, 7.0], pa.float32()),
    pa.array(np.array([0.5, 2.0], np.float16)),
    pa.array([True, None, False]),
    pa.array([True, False]),
    pa.array([None, None], pa.null()),
    pa.array([None, None], pa.float64()),
    pa.array([decimal.Decimal("1.50"), None]),
    pa.array(["1,000", "50%", None]),
    pa.array(["3", "3.0", "3"]).dictionary_encode(),
    pa.array(["a", "b", None, "a"]).dictionary_encode(),
    pa.DictionaryArray.from_arrays(pa.array([0, 1, 1], pa.uint8()), pa.array(["北京", None])),
    pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), pa.array(["多", "余", "的"])),
    pa.array(["上海", None, ""], pa.large_string()),
    pa.array([b"\xe5\x8c\x97", None]),
    pa.array([datetime.date(2026, 5, 1), None]),
    pa.array([1.0, 2.0, 3.0, 4.0]).slice(1, 2),
    pa.array(["a", "b", "c", "b"]).slice(1, 3),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: str(array.type))
@pytest.mark.parametrize("kind", ["number", "category"])
@pytest.mark.parametrize("wanted", ["number", "category"])
def test_every_type_of_arrow(array: pa.Array, kind: Literal["number", "category"], wanted: str) -> None:
    data = data_of(array, kind)
    try:
        expected = cells_by_row(data, wanted)
    except InvalidInput:
        with pytest.raises(Unusual):
            cells_by_column(data, wanted)
    else:
        assert repr(cells_by_column(data, wanted)) == repr(expected)


@settings(deadline=None)
@given(values=st.lists(st.none() | st.floats() | st.integers(-(1 << 53), 1 << 53).map(float), max_size=30))
def test_numbers_with_gaps_and_nan(values: list[float | None]) -> None:
    data = data_of(pa.array(values, pa.float64()), "number")
    assert repr(cells_by_column(data, "number")) == repr(cells_by_row(data, "number"))


@settings(deadline=None)
@given(values=st.lists(st.none() | st.text(max_size=3), max_size=30))
def test_categories_in_any_language(values: list[str | None]) -> None:
    data = data_of(pa.array(values, pa.string()), "category")
    assert cells_by_column(data, "category") == cells_by_row(data, "category")


def test_a_category_that_is_not_a_number_of_any_kind_is_left_to_the_rows() -> None:
    data = data_of(pa.array([1.0, math.nan]), "category")
    with pytest.raises(Unusual):
        cells_by_column(data, "category")


def test_shuffled_rows_come_in_their_order_and_as_rows_too() -> None:
    data = data_of(pa.array(np.arange(20_000.0)), "number").take(np.arange(19_999, -1, -1))

    batches = list(column_batches(data, ["列"]))

    assert sum(map(len, batches)) == 20_000
    assert cells_by_column(data, "number") == list(range(19_999, -1, -1))
    assert [row["列"] for batch in batches for row in batch.rows()] == list(range(19_999, -1, -1))


def test_a_table_goes_through_a_pipeline_as_columns() -> None:
    steps = [{"op": "impute", "on": ["列"], "value": 0}, {"op": "concat", "on": ["列"], "output": "row"}]
    pipeline = Pipeline.load({"inputs": {"列": "number"}, "steps": steps})
    batch = ArrowRows(pa.record_batch({"列": pa.array([1.0, None])}), (Column("列", "number"),))

    processed = pipeline.run_batch(batch)

    assert processed is not None
    assert processed.tensors["row"].tolist() == [[1.0], [0.0]]
    assert [[each.reason for each in row] for row in processed.anomalies] == [[], ["MISSING_VALUE"]]
