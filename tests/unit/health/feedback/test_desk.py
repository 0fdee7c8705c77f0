"""Feedback is joined with its prediction whenever either comes, the last word counts, and nobody can shout."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.errors import InvalidInput, LeptonError, ResourceExhausted
from lepton_ai.mesh.prediction_ids import make_prediction_id, version_tag
from lepton_ai.v1.feedback_pb2 import Feedback
from services.health.feedback.book import State
from services.health.feedback.desk import FeedbackDesk
from services.health.feedback.messages import write_stored
from tests.unit.health.feedback.batches import MODEL, id_at, told

PER_MINUTE = 50


def open_desk(directory: Path, *, per_minute: int = PER_MINUTE) -> FeedbackDesk:
    return FeedbackDesk(directory, max_bytes=1 << 30, keep_s=1e6, per_minute=per_minute, max_input_bytes=1 << 30)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[FeedbackDesk]:
    made = open_desk(tmp_path)
    yield made
    await made.close()


async def say(
    desk: FeedbackDesk, prediction: str, *, source: str = "here", trusted: bool = False, **said: Any
) -> State | LeptonError:
    (outcome,) = await desk.submit([Feedback(prediction_id=prediction, **said)], source=source, trusted=trusted)
    return outcome


async def test_a_label_is_joined_with_what_was_predicted(desk: FeedbackDesk) -> None:
    (right, wrong), batch = told(["cat", "cat"])
    await desk.remember([batch])
    assert await say(desk, right, label="cat") is State.JOINED
    assert await say(desk, wrong, label="dog") is State.JOINED
    quality = (await desk.quality(MODEL, since=0.0))[1]
    assert (quality.labelled, quality.right, quality.good, quality.bad) == (2, 1, 1, 1)


async def test_feedback_knows_the_variant_that_predicted(desk: FeedbackDesk) -> None:
    (made,), batch = told(["cat"], variant="int8")
    assert await say(desk, made, label="dog") is State.UNKNOWN
    await desk.remember([batch])
    await desk.join_late()
    (entry,) = await desk.find(MODEL, 1, only_bad=False, only_texts=False, limit=10)
    assert (entry.version, entry.variant) == (1, "int8")
    stored = write_stored(entry)
    assert (stored.version, stored.variant) == (1, "int8")


async def test_feedback_that_comes_before_its_prediction_is_joined_later(desk: FeedbackDesk) -> None:
    (made,), batch = told(["cat"])
    assert await say(desk, made, label="dog") is State.UNKNOWN
    await desk.remember([batch])
    assert await desk.join_late() == 1
    assert (await desk.quality(MODEL, since=0.0))[1].bad == 1
    assert await desk.join_late() == 0


async def test_of_a_prediction_that_is_forgotten_the_id_still_tells_the_version(desk: FeedbackDesk) -> None:
    _, batch = told([], version=3)
    await desk.remember([batch])
    made = make_prediction_id(version_tag(MODEL, 3))
    assert await say(desk, made, thumb_up=False) is State.VERSION_KNOWN
    assert await say(desk, made, label="dog") is State.VERSION_KNOWN
    quality = (await desk.quality(MODEL, since=0.0))[3]
    assert (quality.bad, quality.labelled) == (1, 0), "a label says nothing without the prediction"


async def test_a_row_that_a_remembered_answer_does_not_have_counts_nowhere(desk: FeedbackDesk) -> None:
    (made,), batch = told(["cat"])
    await desk.remember([batch])
    assert await say(desk, f"{made}-7", thumb_up=False) is State.UNKNOWN
    assert await desk.quality(MODEL, since=0.0) == {}


async def test_made_up_ids_move_no_rollout(desk: FeedbackDesk) -> None:
    (real,), batch = told(["cat"])
    await desk.remember([batch])
    for _ in range(20):
        assert await say(desk, make_prediction_id(version_tag(MODEL, 1)), thumb_up=False) is State.VERSION_KNOWN
    await say(desk, real, thumb_up=True)
    assert await desk.tallies(MODEL, since=0.0) == {(1, ""): (1, 0)}


async def test_the_last_word_of_each_kind_counts_and_the_others_are_kept(desk: FeedbackDesk) -> None:
    (made,), batch = told(["cat"])
    await desk.remember([batch])
    await say(desk, made, label="dog", text="looks like a dog")
    await say(desk, made, label="cat")
    quality = (await desk.quality(MODEL, since=0.0))[1]
    assert (quality.good, quality.bad, quality.texts) == (1, 0, 1)
    found = await desk.find(MODEL, 0, only_bad=False, only_texts=False, limit=10)
    assert [each.said for each in found] == ["cat", "looks like a dog", "dog"]


async def test_what_was_said_survives_the_process(desk: FeedbackDesk, tmp_path: Path) -> None:
    await say(desk, make_prediction_id("00000"), text="很好", answers={"多久": "三天"}, questionnaire="问卷")
    after_a_kill = open_desk(tmp_path)
    found = await after_a_kill.find("", 0, only_bad=False, only_texts=False, limit=10)
    assert [each.said for each in found] == [{"questionnaire": "问卷", "answers": {"多久": "三天"}}, "很好"]
    await after_a_kill.close()


async def test_a_burst_of_one_source_counts_nowhere_and_a_flood_is_refused(desk: FeedbackDesk) -> None:
    ids, batch = told(["cat"] * 600)
    await desk.remember([batch])
    states = [await say(desk, made, thumb_up=False) for made in ids[: PER_MINUTE + 10]]
    assert states.count(State.JOINED) == PER_MINUTE
    assert states[-10:] == [State.QUARANTINED] * 10
    assert await say(desk, ids[-1], thumb_up=True, source="elsewhere") is State.JOINED
    assert (await desk.quality(MODEL, since=0.0))[1].bad == PER_MINUTE
    with pytest.raises(ResourceExhausted, match="far more feedback"):
        for made in ids:
            await say(desk, made, thumb_up=False)


async def test_a_quarantined_word_does_not_replace_one_that_counts(desk: FeedbackDesk) -> None:
    ids, batch = told(["cat"] * (PER_MINUTE + 1))
    await desk.remember([batch])
    for made in ids[:-1]:
        await say(desk, made, thumb_up=True)
    assert await say(desk, ids[0], thumb_up=False) is State.QUARANTINED
    assert (await desk.quality(MODEL, since=0.0))[1].bad == 0


async def test_who_shows_the_token_may_send_many(desk: FeedbackDesk) -> None:
    ids, batch = told(["cat"] * (PER_MINUTE + 20))
    await desk.remember([batch])
    outcomes = await desk.submit(
        [Feedback(prediction_id=made, label="cat") for made in ids], source="here", trusted=True
    )
    assert set(outcomes) == {State.JOINED}


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({}, "feedback[0]"),
        ({"rating": 6.0}, "feedback[0].rating"),
        ({"rating": float("nan")}, "feedback[0].rating"),
        ({"text": "x" * 4001}, "feedback[0].text"),
        ({"answers": {"q": "x" * 4001}}, "feedback[0].answers"),
    ],
)
async def test_what_cannot_be_taken_has_its_error_and_the_others_are_taken(
    desk: FeedbackDesk, said: dict[str, Any], field: str
) -> None:
    (made,), batch = told(["cat"])
    await desk.remember([batch])
    bad, good = await desk.submit(
        [Feedback(prediction_id=made, **said), Feedback(prediction_id=made, label="cat")], source="here", trusted=False
    )
    assert isinstance(bad, InvalidInput)
    assert bad.fields[0].field == field
    assert good is State.JOINED


async def test_what_is_no_id_is_refused(desk: FeedbackDesk) -> None:
    outcome = await say(desk, "'; DROP TABLE entries; --", thumb_up=True)
    assert isinstance(outcome, InvalidInput)
    assert outcome.fix


async def test_a_user_is_forgotten_with_all_that_he_said(desk: FeedbackDesk) -> None:
    (made,), batch = told(["cat"], user="anna")
    await desk.remember([batch])
    await say(desk, made, thumb_up=True, user="anna")
    await say(desk, made, text="me too", user="bert")
    assert await desk.forget_user("anna") == (1, 1, 0)
    assert [each.said for each in await desk.find("", 0, only_bad=False, only_texts=False, limit=10)] == ["me too"]


async def test_tallies_are_of_predictions_made_since(desk: FeedbackDesk) -> None:
    _, batch = told([])
    await desk.remember([batch])
    for seconds, up in ((1000.0, False), (2000.0, True), (3000.0, False)):
        await say(desk, id_at(seconds), thumb_up=up)
    assert await desk.tallies(MODEL, since=1500.0) == {(1, ""): (1, 1)}


async def test_complaints_are_of_predictions_that_nobody_calls_good(desk: FeedbackDesk) -> None:
    (bad, unsaid, good, quarantined), batch = told(["cat"] * 4)
    await desk.remember([batch])
    await say(desk, bad, text="太慢了", thumb_up=False)
    await say(desk, unsaid, text="太慢了！")
    await say(desk, good, text="太好了，谢谢", thumb_up=True)
    for _ in range(PER_MINUTE + 1):
        await say(desk, quarantined, text="太贵了", source="loud")
    found = await desk.complaints(MODEL, 0, since=0.0)
    assert {group.example.strip("！"): group.count for group in found} == {"太慢了": 2, "太贵了": 1}
    assert await desk.complaints(MODEL, 2, since=0.0) == []
