"""What rules record is in the store of measurements: queries find it, over kills, and none of it twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lepton_ai.errors import InvalidInput
from services.health.metrics.series import NAME
from services.health.metrics.storage.store import Bounds, MetricStore
from services.health.promql.evaluation import evaluate, evaluate_range
from services.health.promql.rules.judge import RuleJudge
from services.health.promql.rules.keeping import KeptRecords
from services.health.promql.rules.recordings import RecordedReader
from tests.unit.health.promql.rules.test_judge import RULES, Measured, rules

AT_S = 1.7e9
STEP_S = 10


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[MetricStore]:
    made = MetricStore(tmp_path / "metrics", Bounds())
    await made.start()
    yield made
    await made.close()


def judge_of(tmp_path: Path, measured: Measured, store: MetricStore) -> RuleJudge:
    return RuleJudge(rules(tmp_path, RULES), measured, KeptRecords(store))


async def record(judge: RuleJudge, measured: Measured, *values: float, start_s: float = AT_S) -> None:
    for row, value in enumerate(values):
        measured.found["a"] = value
        await judge.judge(start_s + row * STEP_S)


async def test_a_query_of_the_store_finds_recorded_series_and_their_past(tmp_path: Path, store: MetricStore) -> None:
    measured = Measured()
    await record(judge_of(tmp_path, measured, store), measured, 1, 2, 3)
    (found,) = await evaluate_range("double", store, AT_S, AT_S + 20, STEP_S)
    assert found.values.tolist() == [2, 4, 6]
    assert found.labels == {NAME: "double", "of": "a", "kind": "a!"}


async def test_series_end_in_the_store_when_nothing_is_found_any_more(tmp_path: Path, store: MetricStore) -> None:
    measured = Measured()
    judge = judge_of(tmp_path, measured, store)
    await record(judge, measured, 1)
    measured.found = {"b": 3.0}
    await judge.judge(AT_S + STEP_S)
    assert [each.labels["of"] for each in await evaluate("double", store, AT_S + STEP_S)] == ["b"]
    measured.found = {}
    await judge.judge(AT_S + 2 * STEP_S)
    assert await evaluate("double", store, AT_S + 2 * STEP_S) == []


async def test_rules_see_what_was_recorded_before_a_restart_and_nothing_twice(tmp_path: Path) -> None:
    for start_s, values in ((AT_S, (1, 2)), (AT_S + 2 * STEP_S, (3, 4))):
        store, measured = MetricStore(tmp_path / "metrics", Bounds()), Measured()
        await store.start()
        judge = judge_of(tmp_path, measured, store)
        await record(judge, measured, *values, start_s=start_s)
        reader = RecordedReader(store, judge._recordings)
        (seen,) = await evaluate_range("double", reader, AT_S, start_s + STEP_S, STEP_S)
        await store.close()
    assert seen.values.tolist() == [2, 4, 6, 8]


async def test_series_that_come_and_go_take_no_room_for_ever(tmp_path: Path, store: MetricStore) -> None:
    measured = Measured()
    judge = judge_of(tmp_path, measured, store)
    for row in range(200):
        measured.found = {f"version {row}": 1.0}
        await judge.judge(AT_S + row * STEP_S)
    assert store.series_count < 50
    (found,) = await evaluate("double", store, AT_S + 199 * STEP_S)
    assert found.labels["of"] == "version 199"


def test_one_name_is_recorded_by_one_rule(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="two rules record r"):
        rules(tmp_path, "groups: [{name: g, rules: [{record: r, expr: x}, {record: r, expr: y}]}]")
