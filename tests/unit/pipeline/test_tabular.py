"""impute, clip, scale, one_hot, concat on the columns of a row; column names in any language."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Pipeline, Processed
from lepton_ai.pipeline.columns import ListedRows

CHURN = {
    "inputs": {"年龄": "number", "income": "number", "city": "category", "vip": "category"},
    "steps": [
        {"op": "impute", "on": ["年龄", "income"], "value": {"年龄": 40, "income": 1000}},
        {"op": "impute", "on": ["city"], "value": "上海"},
        {"op": "clip", "on": ["年龄"], "min": 18, "max": 90},
        {"op": "scale", "on": ["年龄"], "mean": 40, "std": 10},
        {"op": "scale", "on": ["income"], "min": 0, "max": 2000},
        {"op": "one_hot", "on": ["city", "vip"], "categories": {"city": ["上海", "北京"], "vip": ["false", "true"]}},
        {"op": "concat", "on": ["年龄", "income", "city", "vip"], "output": "row"},
    ],
}


def run(**inputs: Any) -> Processed:
    return Pipeline.load(CHURN).run(inputs)


def flags(processed: Processed) -> list[tuple[str, str]]:
    return [(anomaly.input, anomaly.reason) for anomaly in processed.anomalies]


def load(inputs: dict[str, str], *steps: dict[str, Any]) -> Pipeline:
    return Pipeline.load({"inputs": inputs, "steps": steps})


def test_a_row_becomes_one_vector() -> None:
    pipeline = Pipeline.load(CHURN)
    processed = pipeline.run({"年龄": 50, "income": 500, "city": "北京", "vip": True})
    assert processed.tensors["row"].tolist() == [1.0, 0.25, 0, 1, 0, 1]
    assert processed.tensors["row"].dtype == np.float32
    assert processed.anomalies == []
    assert pipeline.outputs[0].shape == (6,)


def test_what_is_missing_is_filled_and_flagged_by_column() -> None:
    processed = run(vip=False)
    assert processed.tensors["row"].tolist() == [0, 0.5, 1, 0, 1, 0]
    assert flags(processed) == [("年龄", "MISSING_VALUE"), ("income", "MISSING_VALUE"), ("city", "MISSING_VALUE")]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
def test_what_is_not_finite_is_filled_and_flagged(value: float) -> None:
    processed = run(**{"年龄": value, "income": 0, "city": "上海", "vip": True})
    assert processed.tensors["row"][0] == 0
    assert flags(processed) == [("年龄", "NOT_FINITE")]


def test_what_is_out_of_range_is_clipped_and_flagged_without_showing_the_value() -> None:
    processed = run(**{"年龄": 123456, "income": 0, "city": "上海", "vip": True})
    assert processed.tensors["row"][0] == 5
    assert flags(processed) == [("年龄", "OUT_OF_RANGE")]
    assert "123456" not in processed.anomalies[0].message


def test_what_was_odd_names_its_column_and_what_became_of_it() -> None:
    processed = run(**{"年龄": None, "income": math.inf, "city": "Atlantis", "vip": False})
    assert [anomaly.message for anomaly in processed.anomalies] == [
        "年龄: was missing, filled with 40",
        "income: was not a finite number, replaced by 1000",
        "city: is not a known category and was left out",
    ]
    assert [anomaly.message for anomaly in run(**{"年龄": 123, "city": None, "income": 0, "vip": True}).anomalies] == [
        "city: was missing, filled with 上海",
        "年龄: is outside 18 to 90 and was clipped",
    ]


def test_what_was_filled_in_is_told_in_few_characters() -> None:
    means = {"op": "impute", "on": ["n"], "value": 40.96153846153846}
    names = {"op": "impute", "on": ["c"], "value": "长" * 200}
    row = {"op": "concat", "on": ["n", "c"], "output": "row"}
    one_hot = {"op": "one_hot", "on": ["c"], "categories": ["长" * 200]}
    number, category = load({"n": "number", "c": "category"}, means, names, one_hot, row).run({}).anomalies
    assert number.message == "n: was missing, filled with 40.9615"
    assert category.message == f"c: was missing, filled with {'长' * 39}…"


def test_a_number_that_is_too_large_for_the_vector_is_told_by_its_column() -> None:
    pipeline = load({"a": "number", "b": "number"}, {"op": "concat", "on": ["a", "b"], "output": "row"})
    row = {"a": 1.0, "b": 1e300}
    (alone,) = pipeline.run(row).anomalies
    processed = pipeline.run_batch(ListedRows([row]))
    assert processed is not None and processed.anomalies == [[alone]]
    assert alone.message == "b: is a number that FP32 cannot hold"


def test_an_unknown_category_becomes_zeros_and_is_flagged_or_is_refused() -> None:
    processed = run(**{"年龄": 40, "income": 0, "city": "Atlantis", "vip": True})
    assert processed.tensors["row"].tolist() == [0, 0, 0, 0, 0, 1]
    assert flags(processed) == [("city", "UNKNOWN_CATEGORY")]
    assert "Atlantis" not in processed.anomalies[0].message

    strict = load(
        {"city": "category"},
        {"op": "one_hot", "on": ["city"], "categories": ["上海"], "unknown": "refuse"},
        {"op": "concat", "on": ["city"], "output": "row"},
    )
    with pytest.raises(InvalidInput) as raised:
        strict.run({"city": "Atlantis"})
    assert raised.value.fields[0].field == "inputs.city"
    assert "Atlantis" not in str(raised.value)


@pytest.mark.parametrize(("value", "reason"), [(None, "MISSING_VALUE"), (math.nan, "NOT_FINITE")])
@pytest.mark.parametrize(
    "step", [{"op": "clip", "min": 0, "max": 1}, {"op": "scale", "mean": 0, "std": 1}, {"op": "concat"}]
)
def test_without_impute_a_gap_is_an_error_that_names_the_column(step: dict[str, Any], value: Any, reason: str) -> None:
    columns = ["a", "b"]
    last = {"op": "concat", "on": columns, "output": "row"}
    steps = [last] if step["op"] == "concat" else [{**step, "on": columns}, last]
    with pytest.raises(InvalidInput) as raised:
        load({"a": "number", "b": "number"}, *steps).run({"a": 1, "b": value})
    assert (raised.value.reason, raised.value.fields[0].field) == (reason, "inputs.b")


def test_categories_may_be_texts_integers_and_booleans() -> None:
    pipeline = load(
        {"x": "category"},
        {"op": "one_hot", "on": ["x"], "categories": ["3", "true"]},
        {"op": "concat", "on": ["x"], "output": "row"},
    )
    for value in ("3", 3, 3.0):
        assert pipeline.run({"x": value}).tensors["row"].tolist() == [1, 0]
    assert pipeline.run({"x": True}).tensors["row"].tolist() == [0, 1]


@pytest.mark.parametrize("value", ["5", b"5", np.zeros(1)])
def test_a_number_must_be_a_number(value: Any) -> None:
    with pytest.raises(InvalidInput) as raised:
        run(年龄=value)
    assert (raised.value.reason, raised.value.fields[0].field) == ("WRONG_KIND", "inputs.年龄")


@pytest.mark.parametrize(
    ("kind", "step", "field"),
    [
        ("number", {"op": "clip", "min": 2, "max": 1}, "steps[0].min"),
        ("number", {"op": "clip", "min": {"other": 2}, "max": 1}, "steps[0].min"),
        ("number", {"op": "scale", "mean": 1}, "steps[0]"),
        ("number", {"op": "scale", "mean": 1, "std": 0}, "steps[0].std"),
        ("number", {"op": "scale", "min": 1, "max": 1}, "steps[0].max"),
        ("number", {"op": "impute", "value": "text"}, "steps[0].value"),
        ("category", {"op": "impute", "value": 5}, "steps[0].value"),
        ("category", {"op": "clip", "min": 0, "max": 1}, "steps[0].on"),
        ("category", {"op": "one_hot", "categories": ["a", "a"]}, "steps[0].categories"),
        ("category", {"op": "one_hot", "categories": []}, "steps[0].categories"),
        ("category", {"op": "concat"}, "steps[0].on"),
        ("number", {"op": "one_hot", "categories": ["a"]}, "steps[0].on"),
        ("number", {"op": "clip", "min": math.nan, "max": 1}, ""),
    ],
)
def test_parameters_that_make_no_sense_are_refused_at_load(kind: str, step: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        load({"x": kind}, {**step, "on": ["x"]}, {"op": "concat", "on": ["x"], "output": "row"})
    assert [violation.field for violation in raised.value.fields][:1] == ([field] if field else [])


finite = st.floats(-1e30, 1e30)


@given(values=st.lists(finite, min_size=1, max_size=30), mean=finite, std=st.floats(1e-3, 1e3))
def test_scaling_any_row_is_what_numpy_computes(values: list[float], mean: float, std: float) -> None:
    names = [f"c{index}" for index in range(len(values))]
    pipeline = load(
        dict.fromkeys(names, "number"),
        {"op": "scale", "on": names, "mean": mean, "std": std},
        {"op": "concat", "on": names, "output": "row"},
    )
    row = pipeline.run(dict(zip(names, values, strict=True))).tensors["row"]
    np.testing.assert_array_equal(row, ((np.array(values) - mean) / std).astype(np.float32))
