"""Inputs are kept where a package allows it: privately, within a bound, and until they or their user are forgotten."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.prediction_ids import parse_prediction_id, user_hash
from lepton_ai.prediction import to_item
from lepton_ai.v1.feedback_pb2 import KEPT_FOR_DISAGREEMENT, KEPT_FOR_SAMPLE, Feedback, KeptInput
from lepton_ai.v1.feedback_pb2 import KeptInputs as Batch
from services.health.feedback.book import Entry
from services.health.feedback.desk import FeedbackDesk
from services.health.feedback.examples import Example, Page, Wanted, Which
from services.health.feedback.inputs import KeptInputs
from tests.unit.health.feedback.batches import MODEL, NOW, id_at, told
from tests.unit.health.feedback.test_desk import open_desk

DAY_S = 86_400.0


def kept(
    ids: Sequence[str],
    texts: Sequence[str | bytes],
    *,
    model: str = MODEL,
    version: int = 1,
    user: str = "",
    predicted: str = "cat",
    score: float = 0.9,
    other: str = "",
) -> Batch:
    """Inputs as a replica tells them."""
    inputs = [
        KeptInput(
            prediction_id=made,
            user=user_hash(user) if user else b"",
            kept_for=KEPT_FOR_DISAGREEMENT if other else KEPT_FOR_SAMPLE,
            predicted=predicted,
            score=score,
            other=other,
            item=to_item({"note": text}),
        )
        for made, text in zip(ids, texts, strict=True)
    ]
    return Batch(model=model, version=version, input_kinds={"note": "text"}, keep_s=DAY_S, inputs=inputs)


def found(inputs: KeptInputs, made: str) -> bool:
    return inputs.find(parse_prediction_id(made)) is not None


@pytest.fixture
def inputs(tmp_path: Path) -> Iterator[KeptInputs]:
    made = KeptInputs(tmp_path / "inputs.sqlite", max_bytes=100_000)
    yield made
    made.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[FeedbackDesk]:
    made = open_desk(tmp_path)
    yield made
    await made.close()


def test_what_was_sent_is_kept_and_nobody_else_may_read_it(inputs: KeptInputs, tmp_path: Path) -> None:
    assert inputs.add(kept([id_at(NOW)], ["这是一只猫"]), NOW) == 1
    (found,) = inputs.page(MODEL, before=b"\xff" * 19, limit=10)
    assert (found.content, found.predicted) == (to_item({"note": "这是一只猫"}).SerializeToString(), "cat")
    assert inputs.kinds(MODEL) == {"note": "text"}
    files = list(tmp_path.glob("inputs.sqlite*"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_the_same_content_takes_room_once(inputs: KeptInputs) -> None:
    inputs.add(kept([id_at(NOW)], [b"x" * 10_000]), NOW)
    before = inputs.size_bytes
    inputs.add(kept([id_at(NOW + number) for number in range(10)], [b"x" * 10_000] * 10), NOW)
    assert inputs.size_bytes - before < 10_000


def test_what_is_told_twice_is_kept_once_and_a_later_disagreement_is_added(inputs: KeptInputs) -> None:
    made = id_at(NOW)
    assert inputs.add(kept([made], ["a"]), NOW) == 1
    assert inputs.add(kept([made], ["a"]), NOW) == 0
    inputs.add(kept([made], ["a"], other="fox"), NOW)
    (only,) = inputs.page(MODEL, before=b"\xff" * 19, limit=10)
    assert (only.other, only.kept_for) == ("fox", KEPT_FOR_DISAGREEMENT)


def test_after_its_time_it_is_deleted_from_the_file(inputs: KeptInputs, tmp_path: Path) -> None:
    old, new = id_at(NOW - 2 * DAY_S), id_at(NOW)
    inputs.add(kept([old, new], ["the secret of yesterday", "the secret of today"]), NOW)
    assert inputs.forget_old(NOW) == 1
    assert (found(inputs, old), found(inputs, new)) == (False, True)
    on_disk = b"".join(path.read_bytes() for path in tmp_path.glob("inputs.sqlite*"))
    assert b"the secret of yesterday" not in on_disk
    assert b"the secret of today" in on_disk


def test_without_room_the_oldest_of_the_largest_model_go(inputs: KeptInputs) -> None:
    small = id_at(NOW - 1000)
    inputs.add(kept([small], [b"s" * 1000], model="small"), NOW)
    large = [id_at(NOW + number) for number in range(30)]
    for number, made in enumerate(large):
        inputs.add(kept([made], [bytes([number]) * 5000]), NOW)
        assert inputs.size_bytes <= 100_000
    assert found(inputs, small)
    left = [found(inputs, each) for each in large]
    assert left == sorted(left), "the newest are kept"
    assert 10 <= sum(left) < 20


def test_a_forgotten_user_is_forgotten_also_where_replicas_tell_of_him_later(inputs: KeptInputs) -> None:
    hers, his, later, afterwards = (id_at(NOW + seconds) for seconds in (0, 1, 2, 100))
    inputs.add(kept([hers], ["a"], user="anna"), NOW)
    inputs.add(kept([his], ["b"], user="bert"), NOW)
    assert inputs.forget_user(user_hash("anna"), [], NOW + 10) == 1
    assert inputs.add(kept([later], ["c"], user="anna"), NOW + 11) == 0
    assert inputs.add(kept([afterwards], ["d"], user="anna"), NOW + 101) == 1
    assert found(inputs, his)


def test_what_names_no_prediction_is_refused_and_nothing_of_its_message_is_kept(inputs: KeptInputs) -> None:
    good = id_at(NOW)
    with pytest.raises(InvalidInput):
        inputs.add(kept([good, "../../etc"], ["a", "b"]), NOW)
    assert not found(inputs, good)
    assert inputs.size_bytes == 0


async def selected(desk: FeedbackDesk, **wanted: object) -> tuple[list[Example], Page]:
    """The examples, and what was passed over."""
    examples, passed = [], Page()
    async for page in desk.select(Wanted(MODEL, **wanted)):  # type: ignore[arg-type]
        examples += page.examples
        passed.without_input += page.without_input
        passed.over_limit += page.over_limit
    return examples, passed


async def labelled(desk: FeedbackDesk, made: str, label: str, *, source: str = "here", user: str = "") -> None:
    await desk.submit([Feedback(prediction_id=made, label=label, user=user)], source=source, trusted=True)


def texts_of(examples: Sequence[Example]) -> list[str]:
    from lepton_ai.v1.common_pb2 import Item

    return [Item.FromString(each.kept.content).inputs["note"].text for each in examples]


async def test_labels_go_with_their_inputs_the_newest_word_first(desk: FeedbackDesk) -> None:
    ids, batch = told(["cat", "cat", "cat"])
    await desk.remember([batch])
    await desk.keep([kept(ids[:2], ["a", "b"])])
    for made, label in zip(ids, ["cat", "dog", "dog"], strict=True):
        await labelled(desk, made, label)
    examples, passed = await selected(desk, which=Which.LABELLED)
    assert texts_of(examples) == ["b", "a"]
    assert passed.without_input == 1
    corrected, _ = await selected(desk, which=Which.CORRECTED)
    assert texts_of(corrected) == ["b"]
    assert corrected[0].label is not None
    assert corrected[0].label.said == "dog"


async def test_inputs_without_a_label_are_there_to_be_labelled(desk: FeedbackDesk) -> None:
    sure, unsure, disputed = (id_at(NOW + number) for number in range(3))
    await desk.keep([kept([sure], ["sure"]), kept([unsure], ["unsure"], score=0.3)])
    await desk.keep([kept([disputed], ["disputed"], other="fox")])
    assert texts_of((await selected(desk))[0]) == ["disputed", "unsure", "sure"]
    assert texts_of((await selected(desk, below_score=0.5))[0]) == ["unsure"]
    assert texts_of((await selected(desk, which=Which.DISAGREED))[0]) == ["disputed"]
    await desk.remember([told([])[1]])
    await labelled(desk, sure, "dog")
    assert texts_of((await selected(desk, which=Which.UNLABELLED))[0]) == ["disputed", "unsure"]
    assert texts_of((await selected(desk, since=NOW + 0.5, before=NOW + 1.5))[0]) == ["unsure"]
    assert texts_of((await selected(desk, limit=2))[0]) == ["disputed", "unsure"]


async def test_no_source_and_no_user_teaches_more_than_it_may(desk: FeedbackDesk) -> None:
    ids, batch = told(["cat"] * 9)
    await desk.remember([batch])
    await desk.keep([kept(ids, [str(number) for number in range(9)])])
    for number, made in enumerate(ids):
        await labelled(desk, made, "dog", source="loud" if number < 6 else "quiet", user="anna" if number < 3 else "")
    examples, passed = await selected(desk, which=Which.LABELLED, most_per_source=2)
    assert texts_of(examples) == ["8", "7", "5", "4"]
    assert passed.over_limit == 5
    examples, _ = await selected(desk, which=Which.LABELLED, most_per_user=1)
    assert texts_of(examples) == ["8", "7", "6", "5", "4", "3", "2"]


async def test_many_examples_come_in_pages(desk: FeedbackDesk) -> None:
    ids, batch = told(["cat"] * 1000)
    await desk.remember([batch])
    await desk.keep([kept(ids, [str(number) for number in range(1000)])])
    said = [Feedback(prediction_id=made, label="dog") for made in ids]
    await desk.submit(said, source="here", trusted=True)
    for wanted in ({"which": Which.LABELLED}, {}, {"which": Which.LABELLED, "limit": 700}):
        examples, _ = await selected(desk, **wanted)
        assert sorted(set(texts_of(examples)), key=int) == [str(number) for number in range(1000)][-len(examples) :]


async def test_a_label_for_a_prediction_that_only_its_input_remembers_counts(desk: FeedbackDesk) -> None:
    made = id_at(NOW)
    await desk.keep([kept([made], ["a"], predicted="cat")])
    await labelled(desk, made, "dog")
    quality = (await desk.quality(MODEL, since=0.0))[1]
    assert (quality.labelled, quality.right) == (1, 0)


async def test_with_a_user_go_the_inputs_that_he_sent_and_those_that_he_spoke_of(desk: FeedbackDesk) -> None:
    sent, spoken, others = (id_at(NOW + number) for number in range(3))
    await desk.keep([kept([sent], ["a"], user="anna"), kept([spoken, others], ["b", "c"])])
    await labelled(desk, spoken, "dog", user="anna")
    assert await desk.forget_user("anna") == (1, 0, 2)
    assert texts_of((await selected(desk))[0]) == ["c"]


async def test_what_is_quarantined_is_in_nothing_that_is_learned_or_counted(tmp_path: Path) -> None:
    desk = open_desk(tmp_path / "strict", per_minute=1)
    ids, batch = told(["cat"] * 5)
    await desk.remember([batch])
    await desk.keep([kept(ids, list("abcde"))])
    said = [
        Feedback(prediction_id=made, label="dog", text="wrong", rating=1, answers={"q": "no"}, questionnaire="x")
        for made in ids
    ]
    await desk.submit(said, source="ipv4:6.6.6.6", trusted=False)
    assert [label.said for _, label in examples_of(await selected(desk, which=Which.LABELLED))] == ["dog"]
    quality = (await desk.quality(MODEL, since=0.0))[1]
    assert (quality.bad, quality.labelled, quality.rated, quality.texts) == (1, 1, 1, 1)
    assert await desk.tallies(MODEL, since=0.0) == {(1, ""): (0, 1)}
    assert sum(group.count for group in await desk.complaints(MODEL, 0, since=0.0)) == 1
    assert sum(span.said for span in await desk.spans(recent=0.0)) == 3, "label, rating and text of one"
    await desk.close()


def examples_of(found: tuple[list[Example], Page]) -> list[tuple[bytes, Entry]]:
    return [(each.kept.content, each.label) for each in found[0] if each.label is not None]
