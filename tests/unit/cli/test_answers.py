"""What `lepton predict` prints of answers of each kind."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from lepton_ai.cli.answers import answer_document, prediction_table
from lepton_ai.cli.output import console, json_text
from lepton_ai.errors import InvalidInput
from lepton_ai.postprocessing import Boxes, Label, Labels, Number, Numbers, Text
from lepton_ai.prediction import Answer, Prediction, Timings

FAILED = Prediction(None, InvalidInput("no photo"), "p")


def numbers(anomalies: tuple[str, ...] = (), /, **outputs: Any) -> Prediction:
    return Prediction(None, None, "p", anomalies, outputs)


def printed(
    capsys: pytest.CaptureFixture[str], *predictions: Prediction, outputs: Sequence[str] = ()
) -> list[list[str]]:
    """The cells of every line, which stand at least two spaces apart."""
    names = [f"{number}.jpg" for number in range(len(predictions))]
    console().print(prediction_table(names, predictions, outputs=outputs, framed=False))
    lines = capsys.readouterr().out.rstrip().splitlines()
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def document(*predictions: Prediction) -> Sequence[Any]:
    answer = Answer("m", 1, "", predictions, {}, "p", "r", Timings(0, 0, 0, 0, 0))
    names = [str(number) for number in range(len(predictions))]
    shown: Sequence[Any] = json.loads(json_text(answer_document(names, [answer])))["predictions"]
    return shown


def test_labels_are_shown_with_their_probabilities(capsys: pytest.CaptureFixture[str]) -> None:
    labelled = Prediction(Labels((Label(0, "猫", 0.75), Label(4, "", 0.25))), None, "p")
    assert printed(capsys, labelled, FAILED) == [
        ["Input", "Label", "Probability"],
        ["0.jpg", "猫", "75.0%"],
        ["class 4", "25.0%"],
        ["1.jpg", "no photo"],
    ]


def test_outputs_that_were_asked_for_stand_beside_the_first_label(capsys: pytest.CaptureFixture[str]) -> None:
    labels = Labels((Label(0, "猫", 0.75), Label(1, "狗", 0.25)))
    labelled = Prediction(labels, None, "p", outputs={"logits": np.array([1.5, 0.5]), "样本": np.array([3])})
    assert printed(capsys, labelled, FAILED, outputs=["样本", "logits"]) == [
        ["Input", "Label", "Probability", "样本", "logits"],
        ["0.jpg", "猫", "75.0%", "3", "1.5, 0.5", "shape [2]"],
        ["狗", "25.0%"],
        ["1.jpg", "no photo"],
    ]


def test_columns_that_hold_nothing_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    read, unsure = Prediction(Text("你好"), None, "p"), Prediction(Text("再见", 0.5), None, "p")
    assert printed(capsys, read, FAILED) == [["Input", "Text"], ["0.jpg", "你好"], ["1.jpg", "no photo"]]
    assert printed(capsys, read, unsure)[0] == ["Input", "Text", "Probability"]
    assert printed(capsys, Prediction(Text(""), None, "p"))[0] == ["Input", "Text"]
    price, area = (Prediction(Numbers([Number("y", 2, unit)]), None, "p") for unit in ("", "m²"))
    assert printed(capsys, price) == [["Input", "Number", "Value"], ["0.jpg", "y", "2"]]
    assert printed(capsys, area)[0] == ["Input", "Number", "Value", "Unit"]
    assert printed(capsys, Prediction(Boxes([]), None, "p")) == [["Input", "Object"], ["0.jpg", "nothing found"]]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(12345678.9, "12345679"), (-5e6, "-5000000"), (999999.4, "999999"), (0.1234567, "0.123457"), (2e20, "2e+20")],
)
def test_of_large_numbers_all_digits_before_the_point_are_shown(
    capsys: pytest.CaptureFixture[str], value: float, shown: str
) -> None:
    price = Prediction(Numbers([Number("价格", value)]), None, "p")
    assert printed(capsys, price)[1:] == [["0.jpg", "价格", shown]]


def test_numbers_stand_in_a_column_for_each_output(capsys: pytest.CaptureFixture[str]) -> None:
    first = numbers(价格=np.array([5012345.5], np.float32), floors=np.array(3))
    assert printed(capsys, first, numbers(价格=np.array([0.1], np.float32), floors=np.array(12))) == [
        ["Input", "价格", "floors"],
        ["0.jpg", "5012345.5", "3"],
        ["1.jpg", "0.1", "12"],
    ]


def test_a_series_is_shortened_and_has_its_shape(capsys: pytest.CaptureFixture[str]) -> None:
    short, long = numbers(y=np.arange(4.0).reshape(2, 2)), numbers(y=np.arange(12.0).reshape(12, 1))
    assert printed(capsys, short, long, numbers(y=np.ones((0, 4)))) == [
        ["Input", "y"],
        ["0.jpg", "0.0, 1.0, 2.0, 3.0", "shape [2, 2]"],
        ["1.jpg", "0.0, 1.0, 2.0, …, 11.0", "shape [12, 1]"],
        ["2.jpg", "shape [0, 4]"],
    ]


def test_a_text_in_which_nothing_was_read_is_no_empty_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, Prediction(Text("", None), None, "p"))[1] == ["0.jpg", "nothing found"]


def test_text_outputs_are_shown_as_texts(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, numbers(said=np.array([b"\xe4\xbd\xa0 [bold]"], np.object_)))[1] == ["0.jpg", "你 [bold]"]


def test_errors_and_anomalies_of_numbers_have_a_column_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    odd = numbers(("age was missing", "city is new"), y=np.array([2.0]))
    assert printed(capsys, odd, FAILED, numbers(y=np.array([3.0]))) == [
        ["Input", "y", "Note"],
        ["0.jpg", "2.0", "age was missing"],
        ["city is new"],
        ["1.jpg", "no photo"],
        ["2.jpg", "3.0"],
    ]


def test_where_all_failed_the_errors_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, FAILED, FAILED) == [["Input", "Note"], ["0.jpg", "no photo"], ["1.jpg", "no photo"]]


def test_programs_get_the_outputs_by_name() -> None:
    pairs = np.array([[b"a", b"\xff"]], np.object_)
    given = numbers(price=np.array([1.5], np.float32), count=np.array(2**64 - 1, np.uint64), ok=np.array([True]))
    first, second, failed = document(given, numbers(text=pairs, word=np.array(b"hi", np.object_)), FAILED)
    assert first["outputs"] == {"price": [1.5], "count": 2**64 - 1, "ok": [True]}
    assert second["outputs"] == {"text": [["a", "\\xff"]], "word": "hi"}
    assert (failed["outputs"], failed["error"]["message"]) == ({}, "no photo")


def test_what_is_no_number_is_null_for_programs() -> None:
    (shown,) = document(numbers(y=np.array([[np.nan, np.inf], [1, 2]], np.float16)))
    assert shown["outputs"] == {"y": [[None, None], [1, 2]]}
