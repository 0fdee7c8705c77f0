"""Predictions are remembered in files by time, within a bound, over kill -9."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.prediction_ids import make_prediction_id, parse_prediction_id, user_hash, version_tag
from lepton_ai.v1 import feedback_pb2
from services.health.feedback.memory.predictions import Prediction, PredictionMemory
from services.inference.recording.columns import NO_USER, Columns
from tests.unit.health.feedback.batches import MODEL, NOW, answer, id_at, told

DAY_S = 86_400.0


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[PredictionMemory]:
    made = PredictionMemory(tmp_path / "predictions", max_bytes=1 << 30, keep_s=DAY_S)
    yield made
    made.close()


def batch_at(seconds: float, count: int = 1, *, user: str = "") -> tuple[list[str], feedback_pb2.RememberedPredictions]:
    ids, columns = [id_at(seconds + number / 1000) for number in range(count)], Columns(MODEL, 1)
    for made in ids:
        columns.add(made, 0, answer("cat"), 1000, user_hash(user) if user else NO_USER)
    return ids, columns.message()


def batch_of(user: str, seconds: float) -> feedback_pb2.RememberedPredictions:
    return batch_at(seconds, user=user)[1]


def tidy(memory: PredictionMemory) -> None:
    while memory.tidy(NOW):
        pass


def test_what_was_told_is_found_by_its_id(memory: PredictionMemory) -> None:
    ids, batch = told(["cat", "狗"], version=7)
    assert memory.add(batch) == 2
    found = memory.find(parse_prediction_id(ids[1]))
    assert found is not None
    assert found == Prediction(MODEL, 7, "狗", found.score, 1000)
    assert found.score == pytest.approx(0.9)
    assert memory.find(parse_prediction_id(make_prediction_id(version_tag(MODEL, 7)))) is None


def test_the_variant_that_answered_is_remembered_also_in_a_file_that_began_without(
    memory: PredictionMemory, tmp_path: Path
) -> None:
    ids, batch = told(["cat"])
    memory.add(batch)
    memory.close()
    (file,) = (path for path in (tmp_path / "predictions").glob("*.sqlite") if path.stem.isdecimal())
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("ALTER TABLE predictions DROP COLUMN variant")
    more, of_variant = told(["cat"], variant="int8")
    with closing(PredictionMemory(tmp_path / "predictions", max_bytes=1 << 30, keep_s=DAY_S)) as again:
        again.add(of_variant)
        found = [again.find(parse_prediction_id(each)) for each in (*ids, *more)]
    assert [each.variant for each in found if each is not None] == ["", "int8"]


def test_the_items_of_a_call_are_told_apart(memory: PredictionMemory) -> None:
    columns, made = Columns(MODEL, 1), make_prediction_id(version_tag(MODEL, 1))
    for item, label in enumerate(["cat", "dog"]):
        columns.add(made, item, answer(label), 1000, NO_USER)
    memory.add(columns.message())
    assert [memory.find(parse_prediction_id(f"{made}-{item}")).predicted for item in (0, 1)] == ["cat", "dog"]  # type: ignore[union-attr]


def test_what_is_told_twice_is_remembered_once(memory: PredictionMemory) -> None:
    ids, batch = told(["cat"])
    memory.add(batch)
    memory.add(batch)
    assert memory.find(parse_prediction_id(ids[0])) is not None


def test_another_process_finds_it_too(memory: PredictionMemory, tmp_path: Path) -> None:
    ids, batch = told(["cat"])
    memory.add(batch)
    after_a_kill = PredictionMemory(tmp_path / "predictions", max_bytes=1 << 30, keep_s=DAY_S)
    assert after_a_kill.find(parse_prediction_id(ids[0])) is not None
    after_a_kill.close()


def test_what_is_old_is_forgotten(memory: PredictionMemory) -> None:
    (old,), old_batch = batch_at(NOW - 2 * DAY_S)
    (new,), new_batch = batch_at(NOW)
    memory.add(old_batch)
    memory.add(new_batch)
    assert memory.forget_old(NOW) == 1
    assert memory.find(parse_prediction_id(old)) is None
    assert memory.find(parse_prediction_id(new)) is not None


def test_without_room_the_oldest_go(tmp_path: Path) -> None:
    memory = PredictionMemory(tmp_path / "predictions", max_bytes=200_000, keep_s=DAY_S)
    firsts = []
    for hours in range(6, 0, -1):
        ids, batch = batch_at(NOW - hours * 3600, 500)
        memory.add(batch)
        firsts.append(ids[0])
    assert memory.forget_old(NOW) > 0
    assert memory.size_bytes <= 200_000
    found = [memory.find(parse_prediction_id(each)) is not None for each in firsts]
    assert found == sorted(found), "the newest are kept"
    assert found[-1]
    memory.close()


def test_a_user_is_forgotten(memory: PredictionMemory) -> None:
    ids, batch = told(["cat", "dog"], user="anna")
    others, other_batch = told(["cat"], user="bert")
    memory.add(batch)
    memory.add(other_batch)
    assert memory.forget_user(user_hash("anna"), time.time()) == 2
    assert memory.find(parse_prediction_id(ids[0])) is None
    assert not memory.knows_answer(parse_prediction_id(ids[0]))
    assert memory.find(parse_prediction_id(others[0])) is not None


def test_a_user_is_counted_in_old_files_without_reading_them(memory: PredictionMemory, tmp_path: Path) -> None:
    for hours in range(5):
        memory.add(batch_of("anna", NOW - 3600 * (hours + 1)))
    tidy(memory)
    for path in (tmp_path / "predictions").glob("[0-9]*.sqlite"):
        path.write_bytes(b"whoever reads this fails")
    assert memory.forget_user(user_hash("anna"), NOW) == 5


def test_what_is_forgotten_is_overwritten_on_the_disk(memory: PredictionMemory, tmp_path: Path) -> None:
    for name in ("anna", "bert"):
        memory.add(batch_of(name, NOW - 3600))
    memory.forget_user(user_hash("anna"), NOW)
    tidy(memory)
    on_the_disk = b"".join(path.read_bytes() for path in (tmp_path / "predictions").glob("[0-9]*"))
    assert user_hash("anna") not in on_the_disk
    assert user_hash("bert") in on_the_disk


def test_who_was_forgotten_stays_so_over_a_kill_and_when_his_predictions_are_told_late(tmp_path: Path) -> None:
    def opened() -> PredictionMemory:
        return PredictionMemory(tmp_path / "predictions", max_bytes=1 << 30, keep_s=DAY_S)

    ids, batch = batch_at(NOW - 3600, user="anna")
    killed = opened()
    killed.add(batch)
    tidy(killed)
    killed.forget_user(user_hash("anna"), NOW)
    memory = opened()
    assert memory.find(parse_prediction_id(ids[0])) is None
    tidy(memory)
    memory.add(batch)
    assert memory.find(parse_prediction_id(ids[0])) is None
    assert memory.forget_user(user_hash("anna"), NOW) == 0
    killed.close()
    memory.close()


def test_who_comes_back_after_he_was_forgotten_is_remembered_again(memory: PredictionMemory) -> None:
    memory.add(batch_of("anna", NOW - 3600))
    memory.forget_user(user_hash("anna"), NOW - 1800)
    ids, batch = batch_at(NOW - 900, user="anna")
    memory.add(batch)
    tidy(memory)
    assert memory.find(parse_prediction_id(ids[0])) is not None
    assert memory.forget_user(user_hash("anna"), NOW) == 1


def test_predictions_that_are_told_late_are_counted_too(memory: PredictionMemory) -> None:
    memory.add(batch_of("anna", NOW - 3600))
    tidy(memory)
    memory.add(batch_of("anna", NOW - 3600.5))
    assert memory.forget_user(user_hash("anna"), NOW) == 2


@pytest.mark.parametrize("column", ["ids", "items", "labels", "values", "durations_us", "users"])
def test_columns_that_do_not_fit_together_are_refused(memory: PredictionMemory, column: str) -> None:
    _, batch = told(["cat", "dog"])
    batch.ClearField(column)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="do not fit together"):
        memory.add(batch)


def test_labels_that_are_not_named_are_refused(memory: PredictionMemory) -> None:
    _, batch = told(["cat"])
    batch.labels[0] = 9
    with pytest.raises(InvalidInput):
        memory.add(batch)
