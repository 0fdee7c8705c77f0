"""Golden samples become requests and expectations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lepton_ai.errors import InvalidInput
from lepton_ai.package import Package
from lepton_ai.package.description import Description, Expectation, ExpectedOutput, Golden
from lepton_ai.package.golden import build_golden
from lepton_ai.package.trial import verdict
from lepton_ai.tensors import from_proto, proto_dtype, to_proto
from lepton_ai.v1 import inference_pb2
from tests.sample_packages import onnx_package

_FILES = {"a.jpg": b"jpeg", "音.wav": b"wave", "文.txt": b"text"}


def package(directory: Path, inputs: dict[str, Any], expect: dict[str, Any], **changes: Any) -> Package:
    golden = [{"inputs": inputs, "expect": expect}]
    return onnx_package(directory / "p", golden=golden, files=_FILES, **changes)


def with_pipeline(directory: Path, inputs: dict[str, Any]) -> Package:
    kinds = {
        "photo": "image",
        "clip": "sound",
        "words": "text",
        "kind": "category",
        "size": "number",
        "array": "tensor",
    }
    preprocess = {"inputs": kinds, "steps": []}
    return package(directory, inputs, {"outputs": {"y": {"values": [0, 0, 0, 0]}}}, preprocess=preprocess)


def test_tensors_are_items_without_the_batch_in_the_models_dtype(tmp_path: Path) -> None:
    expect = {"outputs": {"y": {"values": [2, 4, 6, 8], "tolerance": 0.5}}}
    (golden,) = package(tmp_path, {"x": {"values": [1, 2, 3, 4]}}, expect).golden_items()
    sent = from_proto(golden.item.inputs["x"].tensor)
    assert sent.dtype == np.float32
    assert sent.tolist() == [1, 2, 3, 4]
    assert golden.outputs["y"].tolerance == 0.5
    np.testing.assert_array_equal(golden.outputs["y"].values, [2, 4, 6, 8])


def test_the_example_of_the_documentation_is_what_the_model_must_answer(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs/packages.md").read_text(encoding="utf-8")
    (example,) = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if block.startswith("golden:")]
    written = onnx_package(tmp_path / "doubler", **yaml.safe_load(example))
    (golden,) = written.golden_items()

    def answered(factor: float) -> str:
        y = np.multiply(factor, from_proto(golden.item.inputs["x"].tensor))[np.newaxis]
        return verdict(golden, inference_pb2.PredictResponse(tensors=[to_proto("y", y)]))

    assert answered(2.0) == answered(2.002) == ""
    assert "output 'y'" in answered(2.01)


def test_each_kind_of_input_is_sent_as_what_it_is(tmp_path: Path) -> None:
    inputs = {
        "photo": "a.jpg",
        "clip": "音.wav",
        "words": "文.txt",
        "kind": "red",
        "size": 1.5,
        "array": {"values": [1]},
    }
    (golden,) = with_pipeline(tmp_path, inputs).golden_items()
    sent = golden.item.inputs
    assert (sent["photo"].data, sent["clip"].data) == (b"jpeg", b"wave")
    assert sent["words"].text == "文.txt", "a text is a text, even when a file has that name"
    assert (sent["kind"].text, sent["size"].number) == ("red", 1.5)
    assert sent["array"].WhichOneof("kind") == "tensor"


@pytest.mark.parametrize("dtype", ["UINT8", "INT64", "FP32", "FP64"])
def test_a_tensor_for_the_pipeline_may_say_its_type(tmp_path: Path, dtype: str) -> None:
    (golden,) = with_pipeline(tmp_path, {"array": {"values": [1, 2], "dtype": dtype}}).golden_items()
    assert proto_dtype(golden.item.inputs["array"].tensor) == dtype


def test_an_input_of_the_pipeline_may_have_the_name_of_a_tensor_and_another_type(tmp_path: Path) -> None:
    answer, typed = {"outputs": {"y": {"values": [0, 0, 0, 0]}}}, {"x": {"values": [1, 2], "dtype": "FP64"}}
    preprocess = {"inputs": {"x": "tensor"}, "steps": []}
    (golden,) = package(tmp_path, typed, answer, preprocess=preprocess).golden_items()
    assert proto_dtype(golden.item.inputs["x"].tensor) == "FP64"
    with pytest.raises(InvalidInput, match=r"golden\[0\].inputs.x"):
        package(tmp_path / "plain", typed, answer)


def test_whole_numbers_and_truth_values_keep_their_type(tmp_path: Path) -> None:
    (golden,) = with_pipeline(tmp_path, {"size": 3, "kind": True}).golden_items()
    assert golden.item.inputs["size"].WhichOneof("kind") == "integer"
    assert golden.item.inputs["kind"].WhichOneof("kind") == "boolean"


def test_any_input_may_come_from_a_file(tmp_path: Path) -> None:
    (golden,) = with_pipeline(tmp_path, {"words": {"file": "文.txt"}}).golden_items()
    assert golden.item.inputs["words"].data == b"text"


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({"photo": "no.jpg"}, "golden[0].inputs.photo.file"),
        ({"photo": "../p/a.jpg"}, "golden[0].inputs.photo.file"),
        ({"photo": {"path": "a.jpg"}}, "golden[0].inputs.photo"),
        ({"photo": ["a.jpg"]}, "golden[0].inputs.photo"),
        ({"array": {"values": [[1], [2, 3]]}}, "golden[0].inputs.array"),
        ({"array": {"values": [1, 300], "dtype": "UINT8"}}, "golden[0].inputs.array"),
        ({"array": {"values": [1], "dtype": "FLOAT"}}, "golden[0].inputs.array.dtype"),
        ({"array": {"values": [1], "type": "FP32"}}, "golden[0].inputs.array"),
    ],
)
def test_what_is_wrong_in_a_sample_is_named(tmp_path: Path, inputs: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        with_pipeline(tmp_path, inputs)
    assert caught.value.fields[0].field == field


@pytest.mark.parametrize("values", [[1, 2, 3], [[1, 2, 3, 4]], 1, ["a", "b", "c", "d"], {"a": 1}])
def test_values_that_are_not_an_item_of_the_tensor_are_refused(tmp_path: Path, values: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        package(tmp_path, {"x": {"values": values}}, {"outputs": {"y": {"values": [0, 0, 0, 0]}}})
    assert caught.value.fields[0].field == "golden[0].inputs.x"


def of_texts(count: int) -> Description:
    words = {"name": "words", "dtype": "BYTES", "shape": [-1, count]}
    model = {"file": "m.onnx", "format": "onnx"}
    return Description.of({"format": 1, "name": "m", "model": model, "inputs": [words], "outputs": [words]})


@pytest.mark.parametrize("values", [["a\ud800"], [1], [None]])
def test_a_text_tensor_in_a_sample_holds_texts(values: list[Any]) -> None:
    golden = Golden(inputs={"words": {"values": values}}, expect=Expectation(outputs={}))
    described = of_texts(1).model_copy(update={"golden": (golden,)})
    with pytest.raises(InvalidInput) as raised:
        build_golden(described, lambda path, field: b"")
    assert raised.value.fields[0].field == "golden[0].inputs.words"


def test_texts_of_a_sample_keep_zeros_at_the_end() -> None:
    described = of_texts(2)
    golden = Golden(
        inputs={"words": {"values": ["a\0", ""]}},
        expect=Expectation(outputs={"words": ExpectedOutput(values=["b\0", "c"])}),
    )
    (item,) = build_golden(described.model_copy(update={"golden": (golden,)}), lambda path, field: b"")
    assert from_proto(item.item.inputs["words"].tensor).tolist() == [b"a\0", b""]
    assert item.outputs["words"].values.tolist() == ["b\0", "c"]
