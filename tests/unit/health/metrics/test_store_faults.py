"""The store of measurements survives kills, damaged files, full disks and clocks that jump."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lepton_ai.errors import FailedPrecondition
from services.health.metrics.storage.store import LOST, OUT_OF_ORDER, Bounds, MetricStore
from tests.unit.health.metrics.stores import START_S, Make, measure, one, target


async def test_kill_9_loses_nothing_that_was_written(make: Make, tmp_path: Path) -> None:
    store = await make()
    columns = target(store, "a", "b")
    measure(store, columns, 130)
    await store._write_out()  # as it does each second; what follows is not written
    again = await make()
    assert (await one(again, "b")).values.tolist() == [1000.0 + row for row in range(130)]
    measure(again, target(again, "a", "b"), 10, start_s=START_S + 1000)
    await again._write_out()
    third = await make()
    assert len((await one(third, "b")).values) == 140


@pytest.mark.parametrize("cut", [1, 5, 9, 40])
async def test_a_torn_tail_is_cut_off(make: Make, tmp_path: Path, cut: int) -> None:
    store = await make()
    measure(store, target(store, "a"), 50)
    await store.close()
    (journal,) = (tmp_path / "metrics").glob("*.log")
    journal.write_bytes(journal.read_bytes()[:-cut])
    values = (await one(await make(), "a")).values.tolist()
    assert values == [float(row) for row in range(len(values))]
    assert 45 <= len(values) < 50


async def test_a_damaged_middle_ends_the_file_there_and_nothing_else(make: Make, tmp_path: Path) -> None:
    store = await make()
    measure(store, target(store, "a"), 50)
    await store.close()
    (journal,) = (tmp_path / "metrics").glob("*.log")
    content = bytearray(journal.read_bytes())
    content[len(content) // 2] ^= 0xFF
    journal.write_bytes(content)
    again = await make()
    assert 10 < len((await one(again, "a")).values) < 40
    measure(again, target(again, "a"), 1, start_s=START_S + 1000)
    assert (await one(again, "a")).times_s[-1] == START_S + 1000


async def test_a_kill_between_a_block_and_the_end_of_its_journal_doubles_nothing(make: Make, tmp_path: Path) -> None:
    store = await make()
    columns = target(store, "a")
    measure(store, columns, 10)
    await store._write_out()
    (journal,) = (tmp_path / "metrics").glob("*.log")
    content = journal.read_bytes()
    measure(store, columns, 10, start_s=START_S + 3600)
    await store._write_out()
    assert not journal.exists(), "its rows are in a block now"
    journal.write_bytes(content)
    assert len((await one(await make(), "a")).values) == 20


async def test_a_damaged_block_costs_only_itself(make: Make, tmp_path: Path) -> None:
    store = await make()
    columns = target(store, "a")
    for hour in range(3):
        measure(store, columns, 10, start_s=START_S + hour * 3600)
    await store._write_out()
    await store.close()
    block = min((tmp_path / "metrics").glob("*.rows"))
    block.write_bytes(block.read_bytes()[:-9])
    found = await one(await make(), "a")
    assert found.times_s[-1] == START_S + 2 * 3600 + 45
    assert 20 <= len(found.values) < 30


async def test_a_clock_that_goes_back_an_hour_is_not_believed(make: Make) -> None:
    store = await make()
    columns = target(store, "a")
    measure(store, columns, 10)
    measure(store, columns, 10, start_s=START_S - 3600)
    measure(store, columns, 10, start_s=START_S + 60)
    found = await one(store, "a")
    assert (np.diff(found.times_s) > 0).all()
    assert len(found.times_s) == 20
    assert store.missed[OUT_OF_ORDER] == 10


async def test_a_clock_that_goes_back_is_not_believed_after_a_restart_either(make: Make) -> None:
    store = await make()
    measure(store, target(store, "a"), 10)
    await store.close()
    again = await make()
    measure(again, target(again, "a"), 10, start_s=START_S - 3600)
    assert again.missed[OUT_OF_ORDER] == 10


async def test_a_clock_that_jumps_ahead_an_hour_leaves_a_gap(make: Make) -> None:
    store = await make()
    columns = target(store, "a")
    measure(store, columns, 10)
    measure(store, columns, 10, start_s=START_S + 3600 + 50)
    found = await one(store, "a")
    assert len(found.times_s) == 20
    assert (np.diff(found.times_s) > 0).all()


async def test_a_full_disk_loses_no_memory_and_is_tried_again(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = await make()
    columns = target(store, "a")
    measure(store, columns, 5)
    await store._write_out()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("services.health.metrics.storage.journal.Journal.write_out", full)
        measure(store, columns, 5, start_s=START_S + 100)
        await store._write_out()
        measure(store, columns, 5, start_s=START_S + 200)
        await store._write_out()
    assert len((await one(store, "a")).values) == 15
    assert store.missed[LOST] > 0
    assert sum("cannot be written" in record.message for record in caplog.records) == 1
    monkeypatch.setattr("services.health.metrics.storage.files._TRY_AGAIN_S", 0.0)
    measure(store, columns, 5, start_s=START_S + 300)
    await store._write_out()
    again = await make()
    assert (await one(again, "a")).times_s[-1] == START_S + 320


async def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text("a file")
    store = MetricStore(tmp_path / "metrics", Bounds())
    with pytest.raises(FailedPrecondition, match="folder of measurements"):
        await store.start()


async def test_a_damaged_file_of_old_measurements_costs_only_itself(make: Make, tmp_path: Path) -> None:
    store = await make(hours=1)
    columns = target(store, "a")
    for hour in range(4):
        measure(store, columns, 2, start_s=START_S + hour * 3600, step_s=60)
    await store._write_out()
    await store.close()
    files = sorted((tmp_path / "metrics").glob("*.minutes"))
    content = bytearray(files[0].read_bytes())
    content[-10] ^= 0xFF
    files[0].write_bytes(content)
    files[1].write_bytes(b"nonsense")
    again = await make(hours=1)
    assert 4 <= len((await one(again, "a")).values) < 8
