"""The store of measurements: what is asked for comes back, within its bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.errors import ResourceExhausted
from services.health.metrics.series import NAME, Exemplar, Matcher, is_stale
from services.health.metrics.storage import selection
from tests.unit.health.metrics.stores import START_S, Make, measure, named, one, target


async def test_what_was_measured_comes_back_with_its_labels(make: Make) -> None:
    store = await make()
    measure(store, target(store, "a", "b"), 300)
    found = await one(store, "b")
    assert found.labels == {NAME: "b", "model": "B", "service": "s", "instance": "h:1"}
    assert found.times_s.tolist() == [START_S + 5 * row for row in range(300)]
    assert found.values.tolist() == [1000.0 + row for row in range(300)]


async def test_a_range_is_open_at_its_start_and_closed_at_its_end(make: Make) -> None:
    store = await make()
    measure(store, target(store, "a"), 300)
    found = await one(store, "a", START_S + 595, START_S + 610)
    assert found.values.tolist() == [120, 121, 122]
    assert not await store.select(named("a"), START_S + 1495, 1e12)


@pytest.mark.parametrize(
    ("matcher", "expected"),
    [
        (Matcher("model", "=", "A"), "ac"),
        (Matcher("model", "!=", "A"), "b"),
        (Matcher("model", "=~", "A|B"), "abc"),
        (Matcher("model", "=~", "."), "abc"),
        (Matcher("model", "!~", "[AB]"), ""),
        (Matcher("nowhere", "=", ""), "abc"),
        (Matcher("nowhere", "!=", ""), ""),
        (Matcher(NAME, "=~", "[ab]"), "ab"),
        (Matcher("instance", "=", "h:2"), "c"),
        (Matcher("instance", "=~", "h"), ""),
        (Matcher("service", "!=", "s"), ""),
    ],
)
async def test_matchers_mean_what_they_mean_in_promql(make: Make, matcher: Matcher, expected: str) -> None:
    store = await make()
    measure(store, target(store, "a", "b"), 1)
    other = store.open({"service": "s", "instance": "h:2"})
    store.admit(other, {NAME: "c", "model": "A"})
    measure(store, other, 1)
    found = await store.select([matcher], 0, 1e12)
    assert sorted(each.labels[NAME] for each in found) == sorted(expected)
    assert sorted(labels[NAME] for labels in await store.series([matcher])) == sorted(expected)


async def test_labels_are_told_for_completion(make: Make) -> None:
    store = await make()
    measure(store, target(store, "a", "b"), 1)
    assert await store.label_values("model") == ["A", "B"]
    assert await store.label_values(NAME) == ["a", "b"]


async def test_series_that_come_later_and_go_are_there_while_they_were(make: Make) -> None:
    store = await make()
    columns = target(store, "a")
    measure(store, columns, 2)
    store.admit(columns, {NAME: "b"})
    measure(store, columns, 2, start_s=START_S + 100)
    store.release(columns, START_S + 200)
    late = await one(store, "b")
    assert late.times_s.tolist() == [START_S + 100, START_S + 105, START_S + 200]
    assert [bool(each) for each in is_stale(late.values)] == [False, False, True]
    assert store.series_count == 0


async def test_more_series_than_allowed_are_refused_and_counted_until_others_go(make: Make) -> None:
    store = await make(max_series=3)
    first = target(store, "a", "b")
    second = store.open({"service": "s", "instance": "h:2"})
    assert store.admit(second, {NAME: "c"}) == 0
    assert store.admit(second, {NAME: "d"}) == -1
    assert store.admit(second, {NAME: "up"}, always=True) == 1
    store.release(first, START_S)
    assert store.admit(second, {NAME: "d"}) == 2
    assert store.series_count == 3


async def test_hours_are_kept_as_measured_and_weeks_by_the_minute(make: Make, tmp_path: Path) -> None:
    store = await make(hours=1)
    gauge, counter = target(store, "g"), target(store, "c", instance="h:2", counters=True)
    for row in range(3 * 720):
        store.append(gauge, START_S + row * 5, np.array([float(row % 12)]))
        store.append(counter, START_S + row * 5, np.array([float(row)]))
    await store._write_out()
    old_counter = await one(store, "c", end_s=START_S + 3599)
    assert old_counter.times_s.tolist() == [START_S + 55 + 60 * minute for minute in range(60)]
    assert old_counter.values.tolist() == [11 + 12 * minute for minute in range(60)], "the last of each minute"
    assert set((await one(store, "g", end_s=START_S + 3599)).values) == {5.5}
    assert set((await one(store, "g:max", end_s=START_S + 3599)).values) == {11}
    whole = await one(store, "c")
    assert (np.diff(whole.times_s) > 0).all()
    assert (np.diff(whole.times_s) == 5).sum() >= 720, "the newest hour has every row"
    assert len(list((tmp_path / "metrics").glob("*.log"))) < 3
    again = await make(hours=1)
    assert (await one(again, "c")).times_s.tolist() == whole.times_s.tolist()


async def test_a_series_that_does_not_change_within_minutes_has_no_largest_value(make: Make) -> None:
    store = await make(hours=1)
    measure(store, target(store, "still"), 3, start_s=START_S, step_s=60)
    measure(store, target(store, "later", instance="h:2"), 1, start_s=START_S + 3 * 3600)
    await store._write_out()
    assert len((await one(store, "still")).values) == 3
    assert not await store.select(named("still:max"), 0, 1e12)


async def test_weeks_end(make: Make, tmp_path: Path) -> None:
    store = await make(hours=1, weeks=1)
    columns = target(store, "a")
    measure(store, columns, 2)
    measure(store, columns, 2, start_s=START_S + 8 * 86400)
    await store._write_out()
    assert (await one(store, "a")).times_s[0] == START_S + 8 * 86400
    assert not list((tmp_path / "metrics").glob("*.minutes"))


@pytest.mark.parametrize("bounds", [{"weeks": 0.0}, {"weeks": 0.001}])
async def test_what_is_not_to_be_kept_for_long_is_not_written_again_and_again(
    make: Make, tmp_path: Path, bounds: dict[str, float]
) -> None:
    store = await make(**bounds)
    columns = target(store, "a")
    for hour in range(3):
        measure(store, columns, 2, start_s=START_S + hour * 3600)
    await store._write_out()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "metrics").iterdir()}
    await store._write_out()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "metrics").iterdir()} == before
    assert not list((tmp_path / "metrics").glob("*.minutes"))
    assert len((await one(store, "a")).values) == 6


async def test_two_targets_that_call_themselves_the_same_are_one_series_in_order(make: Make) -> None:
    store = await make()
    twins = [target(store, "a"), target(store, "a")]
    for row in range(10):
        measure(store, twins[row % 2], 1, start_s=START_S + row)
    assert (await one(store, "a")).times_s.tolist() == [START_S + row for row in range(10)]


async def test_the_disk_is_bounded_and_the_oldest_goes_first(make: Make, tmp_path: Path) -> None:
    bound = 40_000
    store = await make(hours=1, max_bytes=bound)
    columns = target(store, *(f"m{number}" for number in range(20)))
    noise = np.random.default_rng(0)
    for hour in range(12):
        for row in range(40):
            store.append(columns, START_S + hour * 3600 + row * 60, noise.random(20))
        await store._write_out()
    used = sum(path.stat().st_size for path in (tmp_path / "metrics").iterdir())
    assert used == store.size_bytes
    assert used <= bound
    found = await one(store, "m3")
    assert found.times_s[0] > START_S
    assert found.times_s[-1] == START_S + 11 * 3600 + 39 * 60


async def test_a_query_that_reads_too_much_is_refused(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_MAX_SAMPLES", 100)
    store = await make()
    measure(store, target(store, "a", "b"), 60)
    with pytest.raises(ResourceExhausted, match="100 samples"):
        await store.select([], 0, 1e12)


async def test_new_columns_of_a_target_continue_its_series(make: Make) -> None:
    store = await make()
    columns = target(store, "a", "old")
    measure(store, columns, 5)
    columns = store.replace(columns)
    store.admit(columns, {NAME: "a", "model": "A"})
    measure(store, columns, 5, start_s=START_S + 25)
    assert (await one(store, "a")).times_s.tolist() == [START_S + 5 * row for row in range(10)]
    assert store.series_count == 1


async def test_the_newest_exemplar_of_a_series_is_remembered(make: Make) -> None:
    store = await make()
    columns = target(store, "a", "b")
    for trace in ("1", "2"):
        store.note_exemplar(columns, 1, Exemplar({"trace_id": trace}, 0.5, START_S))
    ((labels, exemplar),) = store.exemplars(named("b"))
    assert (labels["model"], exemplar.labels) == ("B", {"trace_id": "2"})


async def test_reading_and_measuring_go_on_side_by_side(make: Make) -> None:
    store = await make()
    columns = target(store, "a")

    async def look() -> Sequence[int]:
        lengths = []
        for _ in range(20):
            found = await store.select(named("a"), 0, 1e12)
            lengths.append(len(found[0].values) if found else 0)
        return lengths

    async def work() -> None:
        for row in range(500):
            store.append(columns, START_S + row, np.array([float(row)]))
            if row % 10 == 0:
                await asyncio.sleep(0)

    lengths, _ = await asyncio.gather(look(), work())
    assert lengths == sorted(lengths)
    labels: Mapping[str, str] = (await one(store, "a")).labels
    assert labels[NAME] == "a"
