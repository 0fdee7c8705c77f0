"""Many rows at once give, to the last bit, what row by row comes out: tensors, anomalies, learned state and errors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Limits, Pipeline, summaries
from lepton_ai.pipeline.columns import Column, ListedRows, ProcessedRows, Row, Unusual, in_batches
from lepton_ai.pipeline.fitting import Fitted, fit
from lepton_ai.pipeline.reading import NO_READINGS, Reading
from lepton_ai.pipeline.summaries import Counts, Median, Moments, Range

STEPS = {
    "impute": {"op": "impute", "on": ["年龄", "income"], "fit": {"method": "median"}},
    "mean": {"op": "impute", "on": ["年龄", "income"], "fit": {"method": "mean"}},
    "frequent": {"op": "impute", "on": ["年龄", "income"], "fit": {"method": "most_frequent"}},
    "fill": {"op": "impute", "on": ["年龄", "income"], "value": 3},
    "clip": {"op": "clip", "on": ["年龄"], "min": -2.5, "max": {"年龄": 100.0}},
    "standard": {"op": "scale", "on": ["income"], "fit": {"method": "standard"}},
    "range": {"op": "scale", "on": ["income"], "fit": {"method": "range"}},
    "narrow": {"op": "scale", "on": ["income"], "mean": 1e300, "std": 1e-300},
    "city": {"op": "impute", "on": ["city"], "fit": {"method": "most_frequent"}},
    "one_hot": {"op": "one_hot", "on": ["city"], "fit": {"max_categories": 2}},
    "known": {"op": "one_hot", "on": ["city"], "categories": ["北京", "true", "3"]},
    "only_known": {"op": "one_hot", "on": ["city"], "categories": ["北京", "上海"], "unknown": "refuse"},
    "concat": {"op": "concat", "on": ["年龄", "income", "city"], "output": "row"},
}
WAYS = (
    ("impute", "clip", "standard", "city", "one_hot"),
    ("mean", "range", "city", "known"),
    ("frequent", "clip", "narrow", "known"),
    ("fill", "standard", "city", "only_known"),
    ("clip", "range", "one_hot"),
    ("impute", "city", "one_hot"),
)
KINDS = {"年龄": "number", "income": "number", "city": "category"}

numbers = st.none() | st.floats() | st.floats(-1e6, 1e6) | st.integers() | st.booleans() | st.sampled_from([0.0, -0.0])
categories = (
    st.none() | st.sampled_from(["北京", "上海", "广州", "3", "true", "1.5", "", "x" * 300]) | st.integers(0, 3)
)
strange = st.one_of(st.just("12"), st.floats(), st.booleans(), st.just(b"\xe5\x8c\x97\xe4\xba\xac"), st.just("\ud800"))
plain_rows = st.fixed_dictionaries(
    {"年龄": st.floats(-1e6, 1e6), "income": st.floats(-1e6, 1e6), "city": st.sampled_from(["北京", "上海", "广州"])}
)
odd_rows = st.fixed_dictionaries({"年龄": numbers, "income": numbers, "city": categories})
strange_rows = st.fixed_dictionaries({"年龄": numbers | strange, "income": numbers, "city": categories | strange})
tables = st.one_of(
    st.lists(plain_rows, min_size=1, max_size=30),
    st.lists(plain_rows | odd_rows, min_size=1, max_size=30),
    st.lists(plain_rows | strange_rows, min_size=1, max_size=30),
)


@dataclass(frozen=True)
class OneByOne:
    """Rows that cannot be had as columns."""

    listed: Sequence[Row]

    def __len__(self) -> int:
        return len(self.listed)

    def rows(self) -> Iterable[Row]:
        return self.listed

    def columns(self, kinds: Mapping[str, str], readings: Mapping[str, Reading] = NO_READINGS) -> dict[str, Column]:
        raise Unusual


def document(way: Sequence[str]) -> dict[str, Any]:
    return {"inputs": KINDS, "steps": [STEPS[name] for name in (*way, "concat")]}


def outcome(of: Any) -> Any:
    try:
        return of()
    except InvalidInput as error:
        return error.message, error.reason, error.fix, error.fields


def row_by_row(pipeline: Pipeline, rows: Sequence[Row]) -> tuple[bytes, list[Any]]:
    processed = [pipeline.run(row) for row in rows]
    return b"".join(each.tensors["row"].tobytes() for each in processed), [each.anomalies for each in processed]


def at_once(pipeline: Pipeline, rows: Sequence[Row]) -> tuple[bytes, list[Any]] | None:
    processed = pipeline.run_batch(ListedRows(rows))
    return None if processed is None else (processed.tensors["row"].tobytes(), processed.anomalies)


PLAIN: list[Row] = [
    {"年龄": 20.0, "income": 100.0, "city": "北京"},
    {"年龄": 30.0, "income": 1.5, "city": "上海"},
    {"年龄": 40.0, "income": -7.0, "city": "北京"},
]


@settings(deadline=None)
@given(rows=tables, way=st.sampled_from(WAYS), batch_rows=st.integers(1, 31))
@example(rows=[*PLAIN, {"年龄": None, "income": math.nan, "city": None}], way=WAYS[0], batch_rows=4)
@example(rows=[*PLAIN, {"年龄": 1 << 1001, "income": 10**400, "city": True}], way=WAYS[1], batch_rows=4)
def test_the_learned_state_and_errors_do_not_depend_on_how_rows_come(
    rows: list[Row], way: Sequence[str], batch_rows: int
) -> None:
    by_row = outcome(lambda: fit(document(way), lambda: rows, batches=lambda: [OneByOne(rows)]))
    by_column = outcome(lambda: fit(document(way), lambda: rows, batches=lambda: in_batches(rows, batch_rows)))

    assert by_row == by_column
    if isinstance(by_row, Fitted):
        assert repr(by_row.document) == repr(by_column.document)  # -0.0 == 0.0
        pipeline = Pipeline.load(by_row.document)
        again = at_once(pipeline, rows)
        assert again is None or again == row_by_row(pipeline, rows)


@settings(deadline=None)
@given(rows=tables, way=st.sampled_from(WAYS))
def test_rows_that_were_not_learned_from_come_out_the_same(rows: list[Row], way: Sequence[str]) -> None:
    pipeline = Pipeline.load(fit(document(way), lambda: PLAIN).document)

    together = at_once(pipeline, rows)

    expected = outcome(lambda: row_by_row(pipeline, rows))
    assert together is None or together == expected


def test_gaps_infinity_and_unknown_categories_stay_on_columns() -> None:
    odd: list[Row] = [{"年龄": None, "income": -math.inf, "city": None}, {"年龄": 999, "income": 3, "city": "成都"}]
    pipeline = Pipeline.load(fit(document(WAYS[0]), lambda: PLAIN).document)

    processed = pipeline.run_batch(ListedRows([*PLAIN, *odd]))

    assert isinstance(processed, ProcessedRows)
    assert [[each.reason for each in row] for row in processed.anomalies] == [
        [], [], [], ["MISSING_VALUE", "NOT_FINITE", "MISSING_VALUE"], ["OUT_OF_RANGE", "UNKNOWN_CATEGORY"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("way", "row"),
    [
        (WAYS[0], {"年龄": "12", "income": 1.0, "city": "北京"}),
        (WAYS[0], {"年龄": 1.0, "income": 1.0, "city": 3}),
        (WAYS[3], {"年龄": 1.0, "income": 1.0, "city": "成都"}),
        (WAYS[4], {"年龄": None, "income": 1.0, "city": "北京"}),
        (WAYS[4], {"年龄": 1.0, "income": math.inf, "city": "北京"}),
    ],
)
def test_what_is_refused_or_not_plain_is_left_to_the_rows(way: Sequence[str], row: Row) -> None:
    pipeline = Pipeline.load(fit(document(way), lambda: PLAIN).document)

    assert pipeline.run_batch(ListedRows([*PLAIN, row])) is None
    assert pipeline.run_batch(ListedRows(PLAIN)) is not None


def test_a_batch_that_goes_row_by_row_after_all_is_learned_once() -> None:
    steps = [STEPS["impute"], STEPS["standard"], STEPS["known"], STEPS["concat"]]
    rows: list[Row] = [*PLAIN, {"年龄": 50.0, "income": 9.0, "city": 3}]  # 3 beside texts: known only to the row path

    def learned(batches: Any) -> Fitted:
        return fit({"inputs": KINDS, "steps": steps}, lambda: rows, batches=batches)

    assert learned(lambda: [ListedRows(rows)]) == learned(lambda: [OneByOne(rows)])


def test_rows_that_may_be_too_large_are_left_to_the_rows() -> None:
    pipeline = Pipeline.load(fit(document(WAYS[0]), lambda: PLAIN).document)

    assert pipeline.run_batch(ListedRows(PLAIN), limits=Limits(max_item_bytes=21)) is None
    assert pipeline.run_batch(ListedRows(PLAIN), limits=Limits(max_output_bytes=8)) is None
    assert pipeline.run_batch(ListedRows(PLAIN), limits=Limits(max_item_bytes=24)) is not None


def test_texts_and_steps_on_single_values_are_no_columns() -> None:
    steps = [{"op": "tensor", "input": "x", "dtype": "FP32", "shape": [2], "output": "y"}]
    pipeline = Pipeline.load({"inputs": {"x": "tensor"}, "steps": steps})

    assert not pipeline.on_columns
    assert pipeline.run_batch(ListedRows([{"x": np.zeros(2, np.float32)}])) is None


def test_category_indexes_come_out_the_same() -> None:
    steps = [{"op": "category_index", "input": "用户", "categories": "用户.txt", "output": "id"}]
    document: dict[str, Any] = {"inputs": {"用户": "category"}, "steps": steps}
    files = {"用户.txt": "张三\n李四\n".encode()}
    pipeline = Pipeline.load(document, files)
    strict = Pipeline.load({**document, "steps": [{**steps[0], "unknown": "refuse"}]}, files)
    rows: list[Row] = [{"用户": name} for name in ("李四", "王五", "张三")]

    processed = pipeline.run_batch(ListedRows(rows))

    assert processed is not None
    by_row = [pipeline.run(row) for row in rows]
    np.testing.assert_array_equal(processed.tensors["id"], [each.tensors["id"] for each in by_row], strict=True)
    assert processed.anomalies == [each.anomalies for each in by_row]
    assert strict.run_batch(ListedRows(rows)) is None
    assert pipeline.run_batch(ListedRows([*rows, {"用户": None}])) is None


class TestSummaries:
    @settings(deadline=None)
    @given(values=st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=60), cuts=st.lists(st.integers(0, 60)))
    def test_numbers_one_by_one_or_many_at_a_time(self, values: list[float], cuts: list[int]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(summaries, "_BLOCK", 7)
            one = (Moments(), Median(), Median(exact_values=5), Range())
            many = (Moments(), Median(), Median(exact_values=5), Range())
            for value in values:
                for summary in one:
                    summary.add(value)
            for part in np.split(np.array(values), sorted(cuts)):
                for summary in many if len(part) else ():
                    summary.add_many(part)

            assert repr([one[0].mean, one[0].std]) == repr([many[0].mean, many[0].std])
            assert repr([one[1].value, one[2].value]) == repr([many[1].value, many[2].value])
            assert repr([one[3].min, one[3].max]) == repr([many[3].min, many[3].max])

    @given(value=st.floats(-1e308, 1e308), count=st.integers(1, 40))
    def test_what_never_varies_has_no_deviation_and_is_its_own_mean(self, value: float, count: int) -> None:
        moments = Moments()
        moments.add_many(np.full(count, value))
        assert (moments.mean, moments.std) == (value, 0.0)

    @given(codes=st.lists(st.integers(0, 19), max_size=60))
    def test_categories_one_by_one_or_many_at_a_time_also_when_some_are_forgotten(self, codes: list[int]) -> None:
        one, many = Counts(max_distinct=12), Counts(max_distinct=12)
        names = [f"类{index}" for index in range(20)]
        for code in codes:
            one.add(names[code])
        for start in range(0, len(codes), 9):
            many.add_many(names, np.array(codes[start : start + 9]))
        assert (one.counts, one.count) == (many.counts, many.count)
