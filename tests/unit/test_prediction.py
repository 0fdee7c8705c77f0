from __future__ import annotations

import datetime
import math
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lepton_ai.errors import InternalError, InvalidInput
from lepton_ai.file import File
from lepton_ai.mesh.errors import to_status
from lepton_ai.pipeline.values import Limits, accept, raw_inputs
from lepton_ai.prediction import takes_only_a_file, to_answer, to_examples, to_item
from lepton_ai.tensors import from_proto, to_proto
from lepton_ai.v1 import common_pb2, inference_pb2

LOOKS_LIKE_PATHS = ["猫.jpg", "look at holiday.jpg", "收到 发票.png", "C:\\Users\\me\\cat.png", "/etc/passwd", "a.MP3"]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "passwords.png"
    file.write_bytes(b"swordfish")
    return file


def test_what_says_that_it_is_a_file_is_sent_as_its_content(secret: Path) -> None:
    for value in (secret, File(secret), File(str(secret)), {"photo": secret}, {"photo": File(secret)}):
        assert next(iter(to_item(value).inputs.values())).data == b"swordfish"


@pytest.mark.parametrize("text", [*LOOKS_LIKE_PATHS, "质量很好。真的 v1.2"])
def test_a_text_is_sent_as_text_whatever_it_looks_like(text: str) -> None:
    assert to_item(text).inputs[""].text == text
    assert to_item({"words": text}).inputs["words"].text == text


@pytest.mark.parametrize(
    "values", ["a text", b"bytes", Path("cat.jpg"), File("cat.jpg"), {"x": 1}, np.array("a"), None]
)
def test_a_single_example_is_not_a_batch(values: Any) -> None:
    with pytest.raises(InvalidInput, match="not a list of examples"):
        to_examples(values)


def test_a_batch_may_be_had_only_once() -> None:
    assert to_examples(text for text in LOOKS_LIKE_PATHS) == LOOKS_LIKE_PATHS
    assert to_examples(np.array(LOOKS_LIKE_PATHS)) == LOOKS_LIKE_PATHS


def test_a_text_that_names_a_file_is_not_that_file(secret: Path) -> None:
    assert to_item(str(secret)).inputs[""].text == str(secret)


def test_a_plain_text_is_a_path_for_a_model_that_takes_only_a_file_but_never_by_name(secret: Path) -> None:
    assert to_item(str(secret), texts_are_paths=True).inputs[""].data == b"swordfish"
    assert to_item({"photo": str(secret)}, texts_are_paths=True).inputs["photo"].text == str(secret)
    assert to_item({"": str(secret)}, texts_are_paths=True).inputs[""].text == str(secret)


@pytest.mark.parametrize(
    ("kinds", "yes"),
    [
        ({"photo": "image"}, True),
        ({"clip": "sound"}, True),
        ({"words": "text"}, False),
        ({"words": "category"}, False),
        ({"photo": "image", "words": "text"}, False),
        ({"left": "image", "right": "image"}, False),
        ({}, False),
    ],
)
def test_only_a_single_picture_or_sound_is_a_file(kinds: dict[str, str], yes: bool) -> None:
    assert takes_only_a_file(kinds) is yes


@pytest.mark.parametrize("path", ["nosuch.jpg", "a\0b.jpg"])
def test_a_file_that_cannot_be_read_is_named(path: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        to_item(File(path))


@pytest.mark.parametrize(
    ("value", "field"), [("a\ud800b", "inputs"), ({"note": "\udcff"}, "inputs.note"), ({"\ud800": "text"}, "inputs")]
)
def test_half_a_surrogate_pair_is_refused_with_its_field(value: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        to_item(value)
    assert raised.value.fields[0].field == field
    raised.value.message.encode()


def test_a_mapping_names_the_inputs_of_a_pipeline() -> None:
    item = to_item({"age": 42, "income": 1.5, "member": True, "city": "北京"})
    assert item.inputs["age"].integer == 42
    assert item.inputs["income"].number == 1.5
    assert item.inputs["member"].boolean is True
    assert item.inputs["city"].text == "北京"


def test_an_array_is_sent_as_a_tensor() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(from_proto(to_item(array).inputs[""].tensor), array)


def test_what_cannot_be_sent_is_refused_with_its_name() -> None:
    values: tuple[Any, ...] = (["66"], [], [[]], [{"age": 1}], {"age": 1})
    for value in values:
        with pytest.raises(InvalidInput, match=r"inputs\.age: (list|dict) cannot be sent"):
            to_item({"age": value})


@pytest.mark.parametrize("numbers", [[1, 2, 3], [[1.5, 2], [3, 4]], ((1, 2), (3, 4)), [True, False], [np.float32(2)]])
def test_lists_of_numbers_are_sent_as_the_arrays_that_they_write(numbers: Any) -> None:
    sent = from_proto(to_item({"x": numbers}).inputs["x"].tensor)
    assert sent.dtype == np.array(numbers).dtype
    np.testing.assert_array_equal(sent, np.array(numbers))


@pytest.mark.parametrize(
    ("numbers", "problem"), [([[1, 2], [3]], "differ in length"), ([1, None], "neither"), ([1, "2"], "neither")]
)
def test_lists_that_are_no_arrays_are_refused_with_their_name(numbers: Any, problem: str) -> None:
    with pytest.raises(InvalidInput, match=f"x.*{problem}"):
        to_item({"x": numbers})


def test_a_table_is_no_single_example() -> None:
    with pytest.raises(InvalidInput, match=r"inputs: is a table, not an example\. Send its rows: predict_batch"):
        to_item(pa.table({"age": [1, 2]}))


def test_an_answer_keeps_labels_errors_tensors_and_timings_apart() -> None:
    response = inference_pb2.PredictResponse(model_name="m", model_version=3, model_alias="production")
    good, bad = response.predictions.add(prediction_id="p-0"), response.predictions.add(prediction_id="p-1")
    good.classification.labels.add(index=7, name="猫", score=0.5)
    bad.error.CopyFrom(to_status(InvalidInput("no photo", fix="Send one.")))
    response.tensors.append(to_proto("logits", np.ones((1, 2), np.float32)))
    response.timings.compute_us = 1500
    answer = to_answer(response, trace_id="ab")
    assert answer.predictions[0].labels[0].name == "猫"
    assert answer.predictions[0].error is None
    assert isinstance(answer.predictions[1].error, InvalidInput)
    assert answer.tensors["logits"].shape == (1, 2)
    assert (answer.version, answer.timings.compute_ms, answer.trace_id) == (3, 1.5, "ab")


def response_of(items: str, *tensors: common_pb2.Tensor) -> inference_pb2.PredictResponse:
    """A response for items that are good ("+") or bad ("-")."""
    response = inference_pb2.PredictResponse(tensors=tensors)
    for item in items:
        prediction = response.predictions.add()
        if item == "+":
            prediction.classification.SetInParent()
        else:
            prediction.error.CopyFrom(to_status(InvalidInput("no photo")))
    return response


def test_every_prediction_has_its_row_of_all_outputs() -> None:
    prices, texts = np.array([[1.5], [2.5]], np.float32), np.array([b"a", b"b"], np.object_)
    answer = to_answer(response_of("++", to_proto("price", prices), to_proto("text", texts)))
    first, second = (each.outputs for each in answer.predictions)
    assert (first["price"].tolist(), second["price"].tolist()) == ([1.5], [2.5])
    assert (first["text"].shape, first["text"].item(), second["text"].item()) == ((), b"a", b"b")


@pytest.mark.parametrize("items", ["+-+", "-++", "++-", "--+-+--"])
def test_the_rows_are_those_of_the_items_without_error_in_order(items: str) -> None:
    answer = to_answer(response_of(items, to_proto("price", np.array([[1.0], [2.0]]))))
    good = [each for each in answer.predictions if each.error is None]
    assert [each.value for each in good] == [1, 2]
    assert all(each.outputs == {} for each in answer.predictions if each.error is not None)


def test_labels_alone_have_no_outputs_and_tensor_calls_no_predictions() -> None:
    assert [dict(each.outputs) for each in to_answer(response_of("+--")).predictions] == [{}] * 3
    assert to_answer(response_of("", to_proto("y", np.ones((3, 2))))).predictions == ()


@pytest.mark.parametrize("shape", [(3, 1), (1, 2), ()])
def test_rows_that_belong_to_nobody_are_given_to_nobody(shape: tuple[int, ...]) -> None:
    with pytest.raises(InternalError, match="2 predictions without error"):
        to_answer(response_of("+-+", to_proto("price", np.ones(shape))))


def test_what_is_missing_is_not_sent() -> None:
    assert list(to_item({"age": 3, "city": None}).inputs) == ["age"]


@pytest.mark.parametrize("value", [np.datetime64("NaT"), Decimal("NaN")], ids=repr)
def test_what_databases_write_for_a_missing_value_is_not_sent(value: Any) -> None:
    assert list(to_item({"age": 3, "since": value}).inputs) == ["age"]


def test_nan_is_sent_because_an_array_may_hold_it() -> None:
    assert math.isnan(to_item({"age": np.float32("nan")}).inputs["age"].number)


def test_values_of_databases_and_numpy_are_sent_as_what_they_stand_for() -> None:
    day = datetime.datetime(2024, 5, 1, 8, tzinfo=datetime.UTC)
    values: dict[Any, Any] = {"price": Decimal("9.5"), "day": day, "id": uuid.UUID(int=1), 7: np.int8(3)}
    item = to_item(values)
    assert item.inputs["price"].number == 9.5
    assert item.inputs["day"].text == "2024-05-01T08:00:00+00:00"
    assert item.inputs["id"].text == "00000000-0000-0000-0000-000000000001"
    assert item.inputs["7"].integer == 3


@pytest.mark.parametrize("value", [2**63, 2**64 - 1, np.uint64(2**63 + 1), Decimal(2**64 - 1)])
def test_a_whole_number_beyond_63_bits_keeps_all_digits(value: Any) -> None:
    item = to_item({"id": value})
    for kind, expected in (("number", float(value)), ("category", str(int(value)))):
        assert accept(raw_inputs(item), kinds={"id": kind}, limits=Limits())["id"] == expected


def test_a_whole_number_beyond_64_bits_is_the_nearest_float() -> None:
    assert to_item({"n": 2**70}).inputs["n"].number == 2.0**70
    assert to_item({"n": -(10**400)}).inputs["n"].number == -math.inf
