from __future__ import annotations

import datetime
import math
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.errors import to_status
from lepton_ai.pipeline.values import Limits, accept, raw_inputs
from lepton_ai.prediction import to_answer, to_item
from lepton_ai.tensors import from_proto, to_proto
from lepton_ai.v1 import inference_pb2


@pytest.mark.parametrize("name", ["猫.jpg", "狗叫.wav", "a.FLAC", "b.ogg", "c.mp3", "d.opus"])
def test_a_path_is_sent_as_the_content_of_its_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"content")
    assert to_item(file).inputs[""].data == b"content"
    assert to_item(str(file)).inputs[""].data == b"content"


def test_a_text_is_sent_as_text_also_when_it_has_a_dot() -> None:
    assert to_item("质量很好。真的 v1.2").inputs[""].text == "质量很好。真的 v1.2"


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"nosuch\.jpg cannot be read"):
        to_item("nosuch.jpg")


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
    with pytest.raises(InvalidInput, match=r"inputs\.age: list cannot be sent"):
        to_item({"age": [1]})  # type: ignore[dict-item]


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
