"""lepton.yaml: what is accepted, and how precisely everything else is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import InvalidInput
from lepton_ai.package import Description, write_package
from lepton_ai.package.document import dump_document
from lepton_ai.references import check_name
from tests.sample_packages import Document, description

PIPELINE: dict[str, Any] = {
    "preprocess": {"inputs": {"photo": "image"}, "steps": [{"op": "decode_image", "input": "photo"}]},
    "postprocess": [{"op": "softmax", "input": "y"}],
    "golden": [{"inputs": {"photo": "猫.jpg"}, "expect": {"label": "埃及猫", "top_k": 5}}],
}


def parse(document: Document) -> Description:
    return Description.parse(dump_document(document).encode())


def violation(document: Document) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as caught:
        parse(document)
    first = caught.value.fields[0]
    return first.field, first.description


def test_a_description_has_what_the_document_says_and_defaults_for_the_rest() -> None:
    parsed = parse(description())
    assert (parsed.name, parsed.description) == ("doubler", "把四个数乘以二。")
    assert (parsed.max_batch_size, parsed.instances, parsed.golden) == (8, 0, ())
    assert parsed.inputs[0].shape == (-1, 4)


def test_chinese_labels_files_and_inputs_are_kept() -> None:
    parsed = parse(description(**PIPELINE))
    assert parsed.golden[0].expect.label == "埃及猫"
    assert parsed.input_kind("photo") == "image"


def test_an_output_without_a_batch_dimension_is_declared_with_it_and_goes_one_at_a_time() -> None:
    output = {"name": "y", "dtype": "FP32", "shape": [-1, -1, 7], "batched": False}
    parsed = parse(description(outputs=[output], max_batch_size=1))
    assert parsed.unbatched_outputs == {"y"} and parsed.outputs[0].model_shape == (-1, 7)
    assert parse(description()).outputs[0].model_shape == (-1, 4)
    assert violation(description(outputs=[output]))[0] == "outputs[0].batched"
    assert violation(description(outputs=[output | {"shape": [-1]}], max_batch_size=1))[0] == "outputs[0].shape"
    inputs = [{"name": "x", "dtype": "FP32", "shape": [-1, 4], "batched": False}]
    assert violation(description(inputs=inputs))[0] == "inputs[0].batched"


def test_expected_boxes_are_checked() -> None:
    def expecting(**box: Any) -> Document:
        golden = [{"inputs": {"photo": "猫.jpg"}, "expect": {"boxes": [{"label": "猫", "box": [1, 2, 30, 40], **box}]}}]
        return description(**PIPELINE | {"golden": golden})

    assert parse(expecting()).golden[0].expect.boxes[0].overlap == 0.5
    assert violation(expecting(box=[30, 2, 1, 40]))[0] == "golden[0].expect.boxes[0].box"
    assert violation(expecting(overlap=2))[0] == "golden[0].expect.boxes[0].overlap"
    assert violation({k: v for k, v in expecting().items() if k != "postprocess"})[0] == "golden[0].expect.boxes"


def test_a_description_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse(description()).name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"format": 2}, "format"),
        ({"name": "../etc"}, "name"),
        ({"model": {"file": "m", "format": "pickle"}}, "model.format"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [{"name": "x", "dtype": "FLOAT", "shape": [-1]}]}, "inputs[0].dtype"),
        ({"inputs": [{"name": "x", "dtype": "FP32", "shape": ["many"]}]}, "inputs[0].shape[0]"),
        ({"inputs": [{"name": "x", "dtype": "FP32", "shape": [4]}]}, "inputs[0].shape"),
        ({"inputs": [{"name": "x", "dtype": "FP32", "shape": [-1, 0]}]}, "inputs[0].shape"),
        ({"inputs": [{"name": "x", "dtype": "FP32", "shape": [-1]}] * 2}, "inputs[1].name"),
        ({"inputs": [{"name": "a\nb", "dtype": "FP32", "shape": [-1]}]}, "inputs[0].name"),
        ({"max_batch_size": 0}, "max_batch_size"),
        ({"cache": {"answers": "yes"}}, "cache.answers"),
        ({"cache": {"answers": True, "ttl_s": 0}}, "cache.ttl_s"),
        ({"cache": {"answer": True}}, "cache.answer"),
        ({"cache": {"tensors": True}}, "cache.tensors"),
        ({"feedback": {"keep_inputs": "yes"}}, "feedback.keep_inputs"),
        ({"feedback": {"keep_input": True}}, "feedback.keep_input"),
        ({"feedback": {"sample": 1.5}}, "feedback.sample"),
        ({"feedback": {"retention": "a month"}}, "feedback.retention"),
        ({"feedback": {"retention": "9999d"}}, "feedback.retention"),
        ({"max_batch_size": "8"}, "max_batch_size"),
        ({"max_batch_size": True}, "max_batch_size"),
        ({"instances": -1}, "instances"),
        ({"preproces": {}}, "preproces"),
        ({**PIPELINE, "golden": []}, "golden"),
        ({**PIPELINE, "golden": [{"inputs": {"foto": "a.jpg"}, "expect": {"label": "a"}}]}, "golden[0].inputs.foto"),
        ({"golden": [{"inputs": {"x": {"values": [1]}}, "expect": {}}]}, "golden[0].expect"),
        ({"golden": [{"inputs": {"x": 1}, "expect": {"label": "a"}}]}, "golden[0].expect.label"),
        ({"golden": [{"inputs": {"x": 1}, "expect": {"text": "字"}}]}, "golden[0].expect.text"),
        (
            {"golden": [{"inputs": {"x": 1}, "expect": {"outputs": {"z": {"values": 1}}}}]},
            "golden[0].expect.outputs.z",
        ),
    ],
)
def test_what_is_wrong_is_named(changes: Document, field: str) -> None:
    assert violation(description(**changes))[0] == field


def test_all_wrong_fields_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse({"format": 1, "max_batch_size": "8"})
    fields = {wrong.field for wrong in caught.value.fields}
    assert fields == {"name", "model", "inputs", "outputs", "max_batch_size"}
    assert "and 4 more" in caught.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"a: &x [1]\nb: *x", "aliases"),
        (b"a: 1\na: 2", "duplicate key"),
        (b"[[[" * 200, "nested too deeply"),
        (b"a: " + b"{b: " * 100, "nested too deeply"),
        (b"a: 2020-01-01", "Put it in quotes"),
        (b"a: .nan", "finite"),
        (b"a: !!python/object/apply:os.system [echo]", "could not determine a constructor"),
        (b"a: !!binary aGk=", "bytes"),
        (b"- 1", "mapping"),
        (b"", "mapping"),
        (b"\xff\xfe", "UTF-8"),
        (b"a: [", "line 1"),
        (b"1: 2", "keys must be text"),
        (b"a: " + b"9" * 5000, "YAML"),
        (b" " * 300_000, "larger than"),
    ],
)
def test_yaml_that_could_hurt_or_confuse_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        Description.parse(text)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_description_or_a_typed_error(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        Description.parse(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=8,
)


@given(key=st.sampled_from(sorted(Description.model_fields)), value=json_values)
def test_any_value_in_any_field_is_accepted_or_refused_with_a_field(key: str, value: Any) -> None:
    try:
        Description.of(description(**{key: value}))
    except InvalidInput as error:
        assert error.fields


@pytest.mark.parametrize("name", ["a", "0", "efficientnet-lite0", "a.b_c-d", "a" * 64])
def test_legal_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "a" * 65, "a" * 300, "A", "-a", ".a", "a..b", "..", "a/b", "a\0", "a\n", "a b", "猫", "a%2e", "a․․b"]
)
def test_illegal_names(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_name(name)
    assert caught.value.reason == "INVALID_NAME"


@given(st.text(max_size=80))
def test_a_legal_name_is_a_harmless_path_part(name: str) -> None:
    try:
        check_name(name)
    except InvalidInput:
        return
    assert name.isascii()
    assert not {"/", "\\", "\0", " "} & set(name)
    assert name not in {".", ".."}
    assert len(name) <= 64


@pytest.mark.parametrize("path", ["absent.data", "net/w.data", "model.py"])
def test_weights_lie_next_to_the_model_under_a_name_of_their_own(tmp_path: Path, path: str) -> None:
    document = description(model={"file": "model.onnx", "format": "onnx", "weights": [path]})
    files = {"model.onnx": b"m", "net/w.data": b"w", "model.py": b"p"}
    with pytest.raises(InvalidInput) as caught:
        write_package(tmp_path / "p", document, files)
    assert caught.value.fields[0].field == "model.weights[0]"
