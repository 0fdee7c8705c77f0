"""The calls that `lepton models NAME` shows: of golden samples, quoted so that they can be copied."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from lepton_ai.cli.catalogue.example_call import example_call
from lepton_ai.package.description import Description


def described(inputs: dict[str, Any], golden: dict[str, Any], **more: Any) -> Description:
    return Description.of({
        "format": 1,
        "name": "m",
        "model": {"file": "model.onnx", "format": "onnx"},
        "inputs": [{"name": "x", "dtype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "dtype": "FP32", "shape": [-1, 2]}],
        "preprocess": {"inputs": inputs, "steps": [{"op": "any"}], **more},
        "golden": [{"inputs": golden, "expect": {"outputs": {"y": {"values": [0, 1]}}}}],
    })  # fmt: skip


@pytest.mark.parametrize(
    ("inputs", "golden", "shell", "python"),
    [
        (
            {"年龄": "number", "城市": "category"},
            {"年龄": 66.5, "城市": "O'Brien"},
            """lepton predict m --input 年龄=66.5 --input '城市=O'"'"'Brien'""",
            '{"年龄": 66.5, "城市": "O\'Brien"}',
        ),
        ({"say": "text"}, {"say": "很好 !"}, "lepton predict m --text '很好 !'", '"很好 !"'),
        (
            {"photo": "image"},
            {"photo": "golden/猫.jpg"},
            "lepton download m golden/猫.jpg 猫.jpg && lepton predict m 猫.jpg",
            "photo)",
        ),
        ({"x": "tensor"}, {"x": {"values": [1, 2.5]}}, "lepton predict m --input 'x=[1.0, 2.5]'", "np.array([1.0"),
        ({"x": "tensor"}, {"x": {"values": [19.0284118652]}}, "lepton predict m --input 'x=[19.0284]'", "[19.0284]"),
        ({"x": "tensor"}, {"x": {"values": [[0.0] * 50] * 2}}, "", "np.zeros((2, 50), 'float32')"),
        ({"n": "number"}, {"n": True}, "lepton predict m --input n=1", "True"),
    ],
)  # fmt: skip
def test_the_golden_sample_is_the_call(inputs: dict[str, Any], golden: dict[str, Any], shell: str, python: str) -> None:
    call = example_call(described(inputs, golden))
    assert call.shell == shell
    assert python in call.python
    compile(call.python, "example", "exec")


def test_a_number_whose_texts_are_read_as_a_table_is_sent_as_json() -> None:
    call = example_call(described({"价格": "number"}, {"价格": 12.5}, readings={"价格": {"decimal": ","}}))
    assert shlex.split(call.shell) == ["echo", '{"价格": 12.5}', "|", "lepton", "predict", "m", "-"]


def test_a_model_without_a_pipeline_gets_zeros() -> None:
    spec = {"name": "x", "dtype": "INT64", "shape": [-1, -1, 3]}
    call = example_call(
        Description.of({
            "format": 1, "name": "m", "model": {"file": "model.onnx", "format": "onnx"}, "inputs": [spec],
            "outputs": [spec],
        })
    )  # fmt: skip
    assert call.shell == ""
    assert 'lepton.infer("m", {"x": np.zeros((1, 1, 3), \'int64\')})' in call.python
