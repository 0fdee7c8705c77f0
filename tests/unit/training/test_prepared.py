"""A data set becomes the same arrays whichever way its rows go through the pipeline, and refused rows are named."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from lepton_ai.datasets import Dataset, Schema
from lepton_ai.datasets.schema import Column
from lepton_ai.errors import InvalidInput
from lepton_ai.models.preparation import Step, fit_pipeline, tabular_steps
from lepton_ai.pipeline import Pipeline
from lepton_ai.training.prepared import prepare_inputs

ROWS = 20_000  # more than a batch


def customers(cities: Sequence[object] = ("北京", "上海", "广州", None)) -> Dataset:
    random = np.random.default_rng(0)
    ages = pa.array([None if value > 2 else value for value in random.normal(size=ROWS)])
    found = pa.array([cities[index % len(cities)] for index in range(ROWS)])
    schema = Schema((Column("年龄", "number"), Column("city", "category")))
    return Dataset(pa.table({"年龄": ages, "city": found}), schema)


def strict(pipeline: Pipeline) -> Pipeline:
    """Without gaps being filled, and with known cities only."""
    steps = [
        {"op": "clip", "on": ["年龄"], "min": -9, "max": 9},
        {"op": "one_hot", "on": ["city"], "categories": ["北京", "上海", "广州"], "unknown": "refuse"},
        {"op": "concat", "on": ["年龄", "city"], "output": "features"},
    ]
    return Pipeline.load({"inputs": dict(pipeline.inputs), "steps": steps})


@pytest.mark.parametrize("memory_bytes", [0, 1 << 30])
def test_arrays_hold_what_the_pipeline_makes_of_every_row(memory_bytes: int) -> None:
    data = customers()
    pipeline = fit_pipeline(data.schema.columns, tabular_steps(data.schema.columns), data)

    arrays = prepare_inputs(data, pipeline, memory_bytes)

    rows = list(data.rows())
    for index in (0, 3, 8191, 8192, ROWS - 1):
        expected = pipeline.run(rows[index]).tensors["features"]
        np.testing.assert_array_equal(arrays["features"][index], expected, strict=True)
    assert arrays["features"].shape == (ROWS, 4)


def test_refused_rows_are_named_with_the_first_ones_reason() -> None:
    data = customers(["北京", "上海"])
    rows = list(data.rows())
    missing = [index for index, row in enumerate(rows) if row["年龄"] is None]

    with pytest.raises(InvalidInput) as raised:
        prepare_inputs(data, strict(fit_pipeline(data.schema.columns, tabular_steps(data.schema.columns), data)))

    named = ", ".join(map(str, missing[:5]))
    assert raised.value.message.startswith(f"{len(missing)} of {ROWS} rows cannot be prepared (rows {named}, …). ")
    assert "inputs.年龄: is missing" in raised.value.message


def test_a_refused_row_in_a_late_batch_is_named() -> None:
    data = customers(["北京"])
    cities = pa.array(["成都" if index == 19_000 else "北京" for index in range(ROWS)])
    ages = pa.array(np.zeros(ROWS))
    odd = Dataset(pa.table({"年龄": ages, "city": cities}), data.schema)

    with pytest.raises(
        InvalidInput, match=r"1 of 20000 rows cannot be prepared \(rows 19000\).*city.*known categories"
    ):
        prepare_inputs(odd, strict(fit_pipeline(data.schema.columns, tabular_steps(data.schema.columns), data)))


def test_numbers_that_a_fit_cannot_take_are_named_by_row() -> None:
    ages = pa.array([1.0] * 15_000 + [None] + [2.0] * 5)
    data = Dataset(pa.table({"年龄": ages}), Schema((Column("年龄", "number"),)))
    steps: list[Step] = [
        {"op": "scale", "on": ["年龄"], "fit": {"method": "standard"}},
        {"op": "concat", "on": ["年龄"], "output": "features"},
    ]

    with pytest.raises(InvalidInput, match=r"Row 15000 \(counted from 0\): steps\[0\].on: column '年龄' is missing"):
        fit_pipeline(data.schema.columns, steps, data)
