"""`--input NAME=VALUE`, read by the kinds of the model's inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lepton_ai.cli.examples import check_texts, typed_example
from lepton_ai.client import ModelDescription
from lepton_ai.errors import InvalidInput
from lepton_ai.file import File

KINDS = {"年龄": "number", "价格": "number", "城市": "category", "photo": "image", "x": "tensor", "say": "text"}
MODEL = ModelDescription("m", 1, KINDS, frozenset({"价格"}))


def test_every_value_is_of_the_kind_of_its_input() -> None:
    pairs = ("年龄=66", "价格=1.234,50", "城市=a=b", "photo=cat.jpg", "x=[[1.5]]", "say=7")
    row = typed_example(pairs, MODEL).value
    assert isinstance(row, dict)
    assert np.array_equal(row.pop("x"), [[1.5]])
    expected = {"年龄": 66, "价格": "1.234,50", "城市": "a=b", "photo": File(Path("cat.jpg")), "say": "7"}
    assert row == expected


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["年龄"], "has no '='"),
        (["年龄=1", "年龄=2"], "年龄: is given twice"),
        (["x=[1,"], "x: It is not JSON"),
        (["城=北京"], r"城: is not an input of m.*Did you mean '城市'\? It takes 年龄 \(number\)"),
    ],
)
def test_what_is_wrong_is_named(pairs: list[str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        typed_example(pairs, MODEL)


def test_an_empty_number_is_missing_and_a_text_is_left_for_the_platform_to_refuse() -> None:
    assert typed_example(["年龄="], MODEL).value == {"年龄": None}
    assert typed_example(["年龄=很老"], MODEL).value == {"年龄": "很老"}


def test_a_text_is_refused_for_a_model_of_several_inputs() -> None:
    check_texts(ModelDescription("m", 1, {"say": "text"}))
    with pytest.raises(InvalidInput, match="--input 年龄=…"):
        check_texts(MODEL)
