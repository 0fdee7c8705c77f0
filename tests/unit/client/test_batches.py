"""Many examples as calls, and their answers as one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lepton_ai.client.batches import Batch, all_failed, in_calls, join, of_one, with_failed
from lepton_ai.errors import InvalidInput, NotFound, Unavailable
from lepton_ai.postprocessing.answers import Label, Labels
from lepton_ai.prediction import Answer, Prediction, to_item


def answer(*names: str, version: int = 1) -> Answer:
    predictions = tuple(Prediction(Labels((Label(0, name, 1.0),)), None, name) for name in names)
    tensors = {"y": np.arange(len(names), dtype=float), f"only {names[0]}": np.zeros(len(names))}
    return replace(all_failed("m", []), version=version, predictions=predictions, tensors=tensors)


def names(joined: Answer) -> list[str]:
    return [each.labels[0].name if each.labels else str(each.error) for each in joined.predictions]


def test_items_go_as_few_calls_of_a_size_that_servers_take() -> None:
    small = [to_item({"": 1})] * 2500
    assert [len(call) for call in in_calls(small)] == [64] * 39 + [4]
    large = [to_item({"": bytes(20 << 20)})] * 3
    assert [len(call) for call in in_calls(large)] == [1, 1, 1]
    assert [len(call) for call in in_calls([])] == [0], "the server says what is wrong with it"


def test_a_call_is_full_with_large_lists_as_with_large_arrays() -> None:
    large, small = np.zeros((1024, 512)), np.zeros((2, 3))
    for example, is_full in ((large, True), (large.tolist(), True), (small, False), (small.tolist(), False)):
        batch = Batch()
        batch.add({"x": example})
        assert batch.is_full(64) is is_full


def test_answers_to_parts_become_one() -> None:
    failed = all_failed("m", [NotFound("gone")])
    joined = join([failed, answer("a", "b"), answer("c", version=2)])
    assert (joined.version, names(joined)) == (1, ["gone", "a", "b", "c"])
    assert "y" not in joined.tensors or len(joined.tensors["y"]) == 3


def test_what_was_never_sent_has_its_error_at_its_place() -> None:
    mixed = with_failed(answer("a", "b"), {0: InvalidInput("first"), 2: InvalidInput("third")})
    assert names(mixed) == ["first", "a", "third", "b"]


def test_the_trace_of_a_failed_call_is_that_of_its_answer() -> None:
    error = Unavailable("down")
    error.trace_id = "a" * 32
    assert all_failed("m@3", [error]).trace_id == "a" * 32
    assert all_failed("m@3", [error]).model == "m"


@pytest.mark.parametrize(
    ("field", "plain"), [("items[3].inputs.年龄", "inputs.年龄"), ("items[3]", ""), ("inputs.x", "inputs.x")]
)
def test_an_error_of_one_example_does_not_name_its_place_in_a_call(field: str, plain: str) -> None:
    error = InvalidInput.of_field(field, "is a text", fix="Send a number.")
    error.trace_id = "b" * 32
    told = of_one(error)
    assert (told.fields[0].field, told.fix, told.trace_id) == (plain, "Send a number.", "b" * 32)
    assert told.message.startswith(plain)
