"""What was answered is told to health in columns; while it is away a bounded part waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from lepton_ai.credentials import Metadata, shown_tokens
from lepton_ai.errors import LeptonError, Unauthenticated, Unavailable
from lepton_ai.mesh.prediction_ids import parse_prediction_id, user_hash, version_tag
from lepton_ai.mesh.serving.metadata import PROBE
from lepton_ai.mesh.tracing.context import EMPTY
from lepton_ai.package import KeptInputs
from lepton_ai.postprocessing import Answered, Number, Numbers
from lepton_ai.prediction import to_item
from lepton_ai.tensors import from_proto, to_proto
from lepton_ai.testing import eventually
from lepton_ai.v1 import feedback_pb2, inference_pb2
from services.inference.call import Call, Caller
from services.inference.recording import inputs
from services.inference.recording import recorder as recording
from services.inference.recording.recorder import Recorder
from services.inference.routing.routes import Resolved, Shadow
from services.inference.routing.trial import Trial
from tests.unit.health.feedback.batches import answer
from tests.unit.inference.colours import colours_version

LOADED = colours_version(version=3)
PLAIN = Resolved(LOADED, alias="")
T = TypeVar("T")


class Channel:
    """Hands messages to health as they would arrive."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def unary_unary(self, method: str, *_: object, **__: object) -> Callable[..., Awaitable[object]]:
        async def call(request: Any, *, metadata: Metadata = (), **_: object) -> object:
            self._health.shown += shown_tokens(metadata)
            if method.endswith("RememberPredictions"):
                self._health.told += request.versions
            if method.endswith("KeepInputs"):
                self._health.kept += request.versions
            return None

        return call

    unary_stream = unary_unary


class Health:
    """The pool of health services, of which there is one, or none."""

    def __init__(self) -> None:
        self.up = True
        self.refuses: LeptonError | None = None
        self.refusals = 0
        self.shown: list[bytes] = []
        self.told: list[feedback_pb2.RememberedPredictions] = []
        self.kept: list[feedback_pb2.KeptInputs] = []

    async def call(self, invoke: Callable[[Any, float], Awaitable[T]], *, timeout_s: float) -> T:
        if not self.up:
            raise Unavailable("No health service answers.")
        if self.refuses is not None:
            self.refusals += 1
            raise self.refuses
        return await invoke(Channel(self), timeout_s)


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def recorder(health: Health, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Recorder]:
    monkeypatch.setattr(recording, "_EVERY_S", 0.01)
    made = Recorder(health, CollectorRegistry(), token="ours")  # type: ignore[arg-type]
    made.start()
    yield made
    await made.close()


def call() -> Call:
    return Call.arrive(timeout_s=5.0, context=EMPTY)


def sent(*texts: str, user: str = "") -> inference_pb2.PredictRequest:
    """A request with these texts."""
    request = inference_pb2.PredictRequest(items=[to_item(text, item_id="mine") for text in texts])
    request.options.routing_key = user
    return request


def keeping(**policy: Any) -> Resolved:
    """A version whose package says so."""
    loaded = colours_version(version=3)
    loaded.feedback, loaded.input_kinds = KeptInputs(keep_inputs=True, **policy), {"note": "text"}
    return Resolved(loaded, alias="")


async def test_answers_are_told_with_the_ids_that_callers_got(recorder: Recorder, health: Health) -> None:
    made = recorder.make_id(LOADED)
    recorder.record(PLAIN, made, [(0, answer("猫", 0.7)), (2, answer("dog"))], call(), sent(user="anna"))
    await eventually(lambda: health.told, description="health was told")
    (told,) = health.told
    assert set(health.shown) == {b"ours"}
    assert (told.model, told.version, list(told.items)) == ("colours", 3, [0, 2])
    assert told.ids == bytes.fromhex(made) * 2
    assert [told.names[label - 1] for label in told.labels] == ["猫", "dog"]
    assert list(told.values) == pytest.approx([0.7, 0.9])
    assert told.users == user_hash("anna") * 2


async def test_ids_name_their_version_and_health_learns_of_it_without_any_prediction(
    recorder: Recorder, health: Health
) -> None:
    assert parse_prediction_id(recorder.make_id(LOADED)).tag == version_tag("colours", 3)
    await eventually(lambda: health.told, description="health was told")
    assert (health.told[0].version, len(health.told[0].items)) == (3, 0)


async def test_a_number_is_remembered_and_other_kinds_of_answers_are_not(recorder: Recorder, health: Health) -> None:
    number, several = Answered(Numbers([Number("price", 12.5)])), Answered(Numbers([Number("a", 1), Number("b", 2)]))
    recorder.record(PLAIN, recorder.make_id(LOADED), [(0, number), (1, several), (2, Answered(None))], call(), sent())
    await eventually(lambda: health.told, description="health was told")
    assert (list(health.told[0].values), list(health.told[0].labels)) == ([12.5], [0])


async def test_while_health_is_away_they_wait_and_what_is_too_much_is_counted(
    recorder: Recorder, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "MOST_WAITING", 3)
    health.up = False
    for _ in range(5):
        recorder.record(PLAIN, recorder.make_id(LOADED), [(0, answer("cat"))], call(), sent())
    health.up = True
    await eventually(lambda: sum(len(each.items) for each in health.told) == 3, description="what waited was told")
    recorder.record(PLAIN, recorder.make_id(LOADED), [(0, answer("cat"))], call(), sent())
    await eventually(lambda: sum(len(each.items) for each in health.told) == 4, description="there is room again")


async def kept_by(health: Health) -> list[feedback_pb2.KeptInput]:
    await eventually(lambda: health.kept, description="health was told of inputs")
    return [each for batch in health.kept for each in batch.inputs]


async def test_no_input_is_kept_unless_the_package_says_so(recorder: Recorder, health: Health) -> None:
    recorder.record(PLAIN, recorder.make_id(LOADED), [(0, answer("cat", 0.1))], call(), sent("a photo"))
    await eventually(lambda: health.told, description="health was told")
    assert health.kept == []


async def test_inputs_are_kept_as_they_were_sent_without_the_callers_own_ids(
    recorder: Recorder, health: Health
) -> None:
    loaded = keeping(sample=1.0, retention="7d")
    made = recorder.make_id(loaded.loaded)
    recorder.record(loaded, made, [(0, answer("cat")), (1, answer("dog"))], call(), sent("一", "二", user="anna"))
    first, second = await kept_by(health)
    assert (health.kept[0].model, health.kept[0].version, health.kept[0].keep_s) == ("colours", 3, 7 * 86400)
    assert (first.prediction_id, second.prediction_id) == (f"{made}-0", f"{made}-1")
    assert (second.predicted, second.user) == ("dog", user_hash("anna"))
    assert second.item == to_item("二")


async def test_a_row_of_tensors_is_kept_by_itself(recorder: Recorder, health: Health) -> None:
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    request = inference_pb2.PredictRequest(tensors=[to_proto("x", rows), to_proto("名", np.array(["a", "bc", ""]))])
    loaded = keeping(sample=1.0)
    recorder.record(loaded, recorder.make_id(loaded.loaded), [(1, answer("cat"))], call(), request)
    (kept,) = await kept_by(health)
    assert from_proto(kept.item.inputs["x"].tensor).tolist() == [2.0, 3.0]
    assert from_proto(kept.item.inputs["名"].tensor).tolist() == b"bc"
    assert from_proto(kept.item.inputs["x"].tensor).shape == (2,)


async def test_the_share_is_random_and_what_the_model_is_not_sure_of_is_always_kept(
    recorder: Recorder, health: Health
) -> None:
    loaded = keeping(sample=0.25, below_score=0.5)
    for _ in range(400):
        recorder.record(loaded, recorder.make_id(loaded.loaded), [(0, answer("cat", 0.9))], call(), sent("sure"))
    for _ in range(20):
        recorder.record(loaded, recorder.make_id(loaded.loaded), [(0, answer("cat", 0.4))], call(), sent("unsure"))
    await eventually(lambda: sum(len(batch.inputs) for batch in health.kept) > 60, description="they were told")
    kept = await kept_by(health)
    assert sum(each.kept_for == feedback_pb2.KEPT_FOR_LOW_SCORE for each in kept) == 20
    assert 50 < sum(each.kept_for == feedback_pb2.KEPT_FOR_SAMPLE for each in kept) < 160


async def test_inputs_on_which_a_shadowed_version_disagrees_are_kept(recorder: Recorder, health: Health) -> None:
    loaded, shadow = keeping(sample=0.0), Shadow(colours_version(version=4), Trial(1, is_shadow=True))
    compared, agreed = call(), call()
    for each in (compared, agreed):
        resolved = replace(loaded, shadow=shadow)
        rows = [(0, answer("cat")), (2, answer("dog"))]
        recorder.record(resolved, recorder.make_id(loaded.loaded), rows, each, sent("a", "b", "c"))
    recorder.disagreed(compared, {2: "fox"})
    recorder.disagreed(call(), {0: "fox"})
    (kept,) = await kept_by(health)
    assert (kept.item, kept.predicted, kept.other) == (to_item("c"), "dog", "fox")
    assert kept.kept_for == feedback_pb2.KEPT_FOR_DISAGREEMENT


async def test_inputs_wait_for_health_within_a_bound_and_are_told_once(
    recorder: Recorder, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    size_bytes = sent("x" * 1000).items[0].ByteSize()
    monkeypatch.setattr(inputs, "_MOST_WAITING_BYTES", 3 * size_bytes)
    health.up = False
    loaded = keeping(sample=1.0)
    for _ in range(5):
        recorder.record(loaded, recorder.make_id(loaded.loaded), [(0, answer("cat"))], call(), sent("x" * 1000))
    health.up = True
    assert len(await kept_by(health)) == 3
    recorder.record(loaded, recorder.make_id(loaded.loaded), [(0, answer("cat"))], call(), sent("x" * 1000))
    await eventually(lambda: sum(len(each.inputs) for each in health.kept) == 4, description="there is room again")


async def test_where_health_refuses_inputs_none_wait(recorder: Recorder, health: Health) -> None:
    health.refuses = Unauthenticated("Show a token.")
    loaded = keeping(sample=1.0)
    recorder.record(loaded, recorder.make_id(loaded.loaded), [(0, answer("cat"))], call(), sent("x"))
    lost = recorder._inputs._lost
    await eventually(lambda: lost._value.get() == 1, description="it was counted as lost")
    health.refuses = None
    await eventually(lambda: health.told, description="health was told")
    assert health.kept == []


async def test_a_wrong_token_is_said_once_and_predictions_wait_until_it_is_right(
    recorder: Recorder, health: Health, caplog: pytest.LogCaptureFixture
) -> None:
    health.refuses = Unauthenticated("Show a token.")
    recorder.record(PLAIN, recorder.make_id(LOADED), [(0, answer("cat"))], call(), sent("x"))
    await eventually(lambda: health.refusals > 3, description="it was tried again and again")
    assert caplog.text.count("health remembers no predictions") == 1
    health.refuses = None
    await eventually(lambda: health.told, description="health was told")


async def test_probes_of_the_platform_are_not_remembered(recorder: Recorder, health: Health) -> None:
    probe = Call.arrive(timeout_s=5.0, context=EMPTY, caller=Caller(named=lambda name: "1" if name == PROBE else ""))
    recorder.record(PLAIN, recorder.make_id(LOADED), [(0, answer("cat", 0.9))], probe, sent("probe"))
    recorder.record(PLAIN, recorder.make_id(LOADED), [(0, answer("dog", 0.9))], call(), sent("real"))
    await eventually(lambda: [name for each in health.told for name in each.names], description="something is told")
    assert [name for each in health.told for name in each.names] == ["dog"]
