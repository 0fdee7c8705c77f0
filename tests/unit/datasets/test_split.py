"""Train and test: shares, classes, groups, times, seeds, and errors that say what to do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.datasets import Dataset, from_arrays, from_rows
from lepton_ai.errors import InvalidInput


def classes_of(data: Dataset) -> dict[str, int]:
    return {data.classes[at]: int(count) for at, count in enumerate(np.bincount(data.target_ids()))}


def rows_of(data: Dataset) -> list[object]:
    return [row["n"] for row in data.rows(["n"])]


def numbered(count: int = 100, **columns: object) -> Dataset:
    return from_arrays({"n": np.arange(count) + 0.5, **columns})


def test_every_class_is_shared_out_alike() -> None:
    train, test = numbered(label=["多"] * 90 + ["少"] * 10).split(0.2)
    assert (classes_of(train), classes_of(test)) == ({"多": 72, "少": 8}, {"多": 18, "少": 2})


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=4, max_size=80), st.floats(0.05, 0.95), st.integers(0, 5))
def test_nothing_is_lost_or_doubled(ids: list[int], share: float, seed: int) -> None:
    data = numbered(len(ids), label=[f"c{each}" for each in ids])
    train, test = data.split(share, seed=seed, stratify=False)
    assert sorted(rows_of(train) + rows_of(test)) == rows_of(data)  # type: ignore[type-var]
    assert len(train) and len(test)


def test_the_seed_decides() -> None:
    data = numbered(label=["a", "b"] * 50)
    assert rows_of(data.split(seed=1)[1]) == rows_of(data.split(seed=1)[1]) != rows_of(data.split(seed=2)[1])


def test_groups_never_come_apart() -> None:
    data = numbered(patient=[f"病人{n // 7}" for n in range(100)])
    train, test = data.split(0.3, group="patient")
    groups = [{row["patient"] for row in part} for part in (train, test)]
    assert not groups[0] & groups[1]
    assert 20 <= len(test) <= 40


def test_groups_that_differ_in_zeros_at_the_end_are_different() -> None:
    train, test = numbered(patient=["a", "a\0"] * 50).split(0.5, group="patient")
    assert [{row["patient"] for row in part} for part in (train, test)] in ([{"a"}, {"a\0"}], [{"a\0"}, {"a"}])


def test_the_groups_of_the_schema_are_used() -> None:
    data = numbered(house=["a", "b", "c", "d"] * 25)
    data = data.with_schema(data.schema.with_roles(house="group"))
    train, test = data.split(0.25)
    assert not {row["house"] for row in train} & {row["house"] for row in test}


@pytest.mark.parametrize("write", ["2024-{:02d}-01", "2024/{}/1", "2024年{}月1日"])
def test_the_latest_rows_are_held_out(write: str) -> None:
    data = from_rows({"n": n + 0.5, "when": write.format(n % 12 + 1)} for n in range(60))
    train, test = data.split(0.25, by_time=True)
    assert {row["n"] % 12 for row in test} == {9.5, 10.5, 11.5}  # type: ignore[operator]
    assert max(row["n"] % 12 for row in train) == 8.5  # type: ignore[operator]


def test_times_may_be_numbers() -> None:
    train, test = numbered().split(0.1, by_time="n")
    assert rows_of(test) == [n + 0.5 for n in range(90, 100)]
    assert rows_of(train) == [n + 0.5 for n in range(90)]


def test_lineage_tells_how_it_was_split() -> None:
    data = numbered(label=["a", "b"] * 50)
    operation = data.split(0.2, seed=7)[1].lineage.operations[-1]
    assert (operation.name, operation.rows) == ("split", 20)
    assert operation.parameters["seed"] == 7
    assert operation.parameters["part"] == "test"


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (numbered(0), {}, "0 rows cannot be split"),
        (numbered(1), {}, "1 rows cannot be split"),
        (numbered(label=["a"] * 100), {}, "one class only"),
        (numbered(label=["a"] * 99 + ["b"]), {}, "only one row is 'b'"),
        (numbered(g=["a"] * 50 + ["b"] * 50), {"group": "g", "test": 0.1}, "smallest group has 50 of 100 rows"),
        (numbered(g=["a"] * 100), {"group": "g"}, "two groups or more"),
        (numbered(g=["a", None] * 50), {"group": "g"}, "50 rows have no group"),
        (numbered(), {"group": "missing"}, "no such column"),
        (numbered(), {"by_time": True}, "no time column"),
        (numbered(g=["a", "b"] * 50, t=list(range(100))), {"group": "g", "by_time": "t"}, "not by both"),
        (numbered(t=[1.5] * 100), {"by_time": "t"}, "same time"),
        (numbered(t=[1.5, None] * 50), {"by_time": "t"}, "50 of 100 rows have no time"),
        (numbered(), {"test": 1.0}, "not between 0 and 1"),
    ],
)
def test_what_cannot_be_split_says_why(data: Dataset, options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        data.split(**options)  # type: ignore[arg-type]
