"""Documents, wiring, digests and running: what holds for pipelines of every kind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai import tensors
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.pipeline import Limits, Pipeline, describe_operations, file_names, raw_inputs
from lepton_ai.v1 import common_pb2, preprocess_pb2
from tests.unit.pipeline.images import encoded, gradient

PHOTO: dict[str, Any] = {
    "inputs": {"photo": "image"},
    "steps": [
        {"op": "decode_image", "input": "photo"},
        {"op": "resize", "size": [4, 4]},
        {"op": "to_tensor", "output": "image", "dtype": "UINT8"},
    ],
}
TOKENS: dict[str, Any] = {
    "inputs": {"t": "text"},
    "steps": [{"op": "tokenize", "vocabulary": "词表.txt", "output": "ids", "pad": False}],
}
TO_TENSOR = {"op": "to_tensor", "output": "x"}
TEXT_TENSOR = {"op": "text_tensor", "input": "t", "output": "x"}
VOCABULARY = {"词表.txt": "[UNK]\n你".encode()}


def refusal(document: Any, files: dict[str, bytes] | None = None) -> InvalidInput:
    with pytest.raises(InvalidInput) as raised:
        Pipeline.load(document, files)
    return raised.value


class TestDocument:
    @pytest.mark.parametrize(
        ("document", "field"),
        [
            ({}, "inputs"),
            ({"inputs": {}, "steps": PHOTO["steps"]}, "inputs"),
            ({"inputs": {"photo": "picture"}, "steps": PHOTO["steps"]}, "inputs.photo"),
            ({"inputs": {"#x": "image"}, "steps": PHOTO["steps"]}, "inputs"),
            ({"inputs": {"a\nb": "image"}, "steps": PHOTO["steps"]}, "inputs"),
            ({"inputs": {"photo": "image"}}, "steps"),
            ({"inputs": {"photo": "image"}, "steps": []}, "steps"),
            ({"inputs": {"photo": "image"}, "steps": "decode_image"}, "steps"),
            ({"inputs": {"photo": "image"}, "steps": ["decode_image"]}, "steps[0]"),
            ({"inputs": {"photo": "image"}, "steps": [{}]}, "steps[0].op"),
            ({"inputs": {"photo": "image"}, "steps": [{"op": 5}]}, "steps[0].op"),
            ({"inputs": {"photo": "image"}, "steps": [{"op": "decode_image"}] * 300}, "steps"),
            ({**PHOTO, "stepz": []}, "stepz"),
        ],
    )
    def test_the_wrong_place_is_named(self, document: Any, field: str) -> None:
        assert refusal(document).fields[0].field == field

    def test_an_unknown_operation_gets_the_nearest_one_suggested_and_all_listed(self) -> None:
        error = refusal({"inputs": {"photo": "image"}, "steps": [{"op": "decode_imgae"}]})
        assert error.reason == "UNKNOWN_OPERATION"
        assert "'decode_image'" in error.fix and "tokenize" in error.fix

    def test_an_unknown_parameter_gets_the_nearest_one_suggested(self) -> None:
        error = refusal({"inputs": {"photo": "image"}, "steps": [{"op": "decode_image", "backgruond": [0, 0, 0]}]})
        assert error.fields[0].field == "steps[0].backgruond"
        assert "'background'" in error.fix

    def test_every_wrong_parameter_is_reported(self) -> None:
        error = refusal({"inputs": {"photo": "image"}, "steps": [{"op": "decode_image", "mode": "x", "orient": "y"}]})
        assert {violation.field for violation in error.fields} == {"steps[0].mode", "steps[0].orient"}

    @pytest.mark.parametrize("value", [float("nan"), {1, 2}, b"bytes", object(), "\ud800"])
    def test_only_plain_json_data_is_a_document(self, value: Any) -> None:
        assert refusal({**PHOTO, "extra": value}).reason == "NOT_JSON"

    def test_every_operation_describes_itself(self) -> None:
        for operation in describe_operations():
            assert operation.description.endswith(".")
            assert '"properties"' in operation.parameters_schema_json


class TestWiring:
    def test_a_step_takes_what_the_step_before_made(self) -> None:
        implicit = Pipeline.load(PHOTO)
        photo = encoded(gradient(), "PNG")
        named = Pipeline.load(
            {
                "inputs": {"photo": "image"},
                "steps": [
                    {"op": "decode_image", "output": "a"},
                    {"op": "resize", "input": "a", "size": [4, 4], "output": "b"},
                    {"op": "to_tensor", "input": "b", "output": "image", "dtype": "UINT8"},
                ],
            }
        )
        np.testing.assert_array_equal(
            implicit.run({"photo": photo}).tensors["image"], named.run({"photo": photo}).tensors["image"]
        )

    def test_one_value_may_be_taken_twice(self) -> None:
        pipeline = Pipeline.load(
            {
                "inputs": {"photo": "image"},
                "steps": [
                    {"op": "decode_image", "output": "pixels"},
                    {"op": "to_tensor", "output": "whole"},
                    {"op": "center_crop", "input": "pixels", "size": 2},
                    {"op": "to_tensor", "output": "middle"},
                ],
            }
        )
        assert [output.name for output in pipeline.outputs] == ["whole", "middle"]
        tensors = pipeline.run({"photo": encoded(gradient(4, 4), "PNG")}).tensors
        assert [tensors[name].shape for name in ("whole", "middle")] == [(3, 4, 4), (3, 2, 2)]

    def test_the_output_may_bear_the_name_of_the_input(self) -> None:
        document = {
            "inputs": {"image": "image"},
            "steps": [{"op": "decode_image"}, {"op": "to_tensor", "output": "image"}],
        }
        assert Pipeline.load(document).run({"image": encoded(gradient(), "PNG")}).tensors["image"].shape == (3, 24, 32)

    @pytest.mark.parametrize(
        ("inputs", "steps", "field"),
        [
            ({"photo": "image"}, [{"op": "decode_image", "input": "foto"}], "steps[0].input"),
            ({"photo": "image"}, [{"op": "decode_image"}], "steps[0].output"),
            ({"photo": "image"}, [{"op": "decode_image", "output": "x"}], "steps[0]"),
            ({"a": "image", "b": "image"}, [{"op": "decode_image"}], "steps[0].input"),
            ({"a": "image", "b": "image"}, [{"op": "decode_image", "input": "a"}, TO_TENSOR], "inputs.b"),
            ({"photo": "text"}, [{"op": "decode_image"}], "steps[0].input"),
            ({"t": "text"}, [TEXT_TENSOR, TEXT_TENSOR], "steps[1].output"),
        ],
    )  # fmt: skip
    def test_what_does_not_connect_is_refused(
        self, inputs: dict[str, str], steps: list[dict[str, Any]], field: str
    ) -> None:
        assert refusal({"inputs": inputs, "steps": steps}).fields[0].field == field

    def test_a_wrong_name_gets_the_nearest_one_suggested(self) -> None:
        error = refusal({"inputs": {"photo": "image"}, "steps": [{"op": "decode_image", "input": "phto"}]})
        assert "'photo'" in error.fix


class TestDigest:
    def test_it_does_not_depend_on_the_order_of_keys(self) -> None:
        turned = {
            "steps": [dict(reversed(step.items())) for step in PHOTO["steps"]],
            "inputs": PHOTO["inputs"],
        }
        assert Pipeline.load(turned).digest == Pipeline.load(PHOTO).digest

    def test_it_depends_on_document_and_files_that_are_named_and_on_no_others(self) -> None:
        first = Pipeline.load(TOKENS, VOCABULARY).digest
        assert Pipeline.load(TOKENS, {"词表.txt": b"[UNK]\nx"}).digest != first
        assert Pipeline.load(TOKENS, {**VOCABULARY, "other": b"x"}).digest == first

    def test_file_names_are_told_without_the_files(self) -> None:
        assert file_names(TOKENS) == ("词表.txt",)

    def test_a_missing_file_is_refused(self) -> None:
        assert refusal(TOKENS).fields[0].field == "steps[0].vocabulary"

    def test_a_pipeline_survives_being_sent(self) -> None:
        sent = preprocess_pb2.Pipeline.FromString(Pipeline.load(TOKENS, VOCABULARY).to_proto().SerializeToString())
        received = Pipeline.from_proto(sent)
        assert received.digest == Pipeline.load(TOKENS, VOCABULARY).digest
        assert received.run({"t": "你x"}).tensors["ids"].tolist() == [1, 0]

    def test_a_wrong_digest_is_refused(self) -> None:
        message = Pipeline.load(PHOTO).to_proto()
        message.digest = "0" * 64
        with pytest.raises(InvalidInput) as raised:
            Pipeline.from_proto(message)
        assert raised.value.reason == "DIGEST_MISMATCH"

    @pytest.mark.parametrize("text", ["", "[]", "{", "5", "[" * 100_000])
    def test_what_is_not_a_json_object_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidInput) as raised:
            Pipeline.from_proto(preprocess_pb2.Pipeline(document_json=text))
        assert raised.value.reason == "NOT_JSON"


class TestInputs:
    def test_unknown_and_missing_inputs_are_named(self) -> None:
        for inputs, field in (
            ({"foto": b""}, "inputs.foto"),
            ({}, "inputs.photo"),
            ({"photo": "text"}, "inputs.photo"),
        ):
            with pytest.raises(InvalidInput) as raised:
                Pipeline.load(PHOTO).run(inputs)
            assert raised.value.fields[0].field == field

    def test_the_byte_limit_counts_all_inputs_of_an_item(self) -> None:
        document = {
            "inputs": {"a": "text", "b": "text"},
            "steps": [{"op": "text_tensor", "input": name, "output": name} for name in ("a", "b")],
        }
        pipeline = Pipeline.load(document)
        assert pipeline.run({"a": "12", "b": "好"}, limits=Limits(max_item_bytes=5)).tensors
        with pytest.raises(InvalidInput, match="6 bytes"):
            pipeline.run({"a": "123", "b": "好"}, limits=Limits(max_item_bytes=5))

    def test_messages_become_raw_values(self) -> None:
        array = np.array([1.5, 2.5], dtype=np.float32)
        item = common_pb2.Item(
            inputs={
                "a": common_pb2.Value(data=b"x"), "b": common_pb2.Value(text="好"), "c": common_pb2.Value(number=0.5),
                "d": common_pb2.Value(integer=3), "e": common_pb2.Value(boolean=False), "f": common_pb2.Value(),
                "g": common_pb2.Value(tensor=tensors.to_proto("whatever", array)),
            }
        )  # fmt: skip
        values = raw_inputs(item)
        np.testing.assert_array_equal(values.pop("g"), array)  # type: ignore[arg-type]
        assert values == {"a": b"x", "b": "好", "c": 0.5, "d": 3, "e": False, "f": None}

    def test_broken_tensors_are_refused_under_the_inputs_name(self) -> None:
        tensor = common_pb2.Tensor(name="t", dtype=common_pb2.DATA_TYPE_FP32, shape=[2], data=b"123")
        for broken in (tensor, common_pb2.Tensor(shape=[1], data=b"1")):
            with pytest.raises(InvalidInput) as raised:
                raw_inputs(common_pb2.Item(inputs={"x": common_pb2.Value(tensor=broken)}))
            assert raised.value.fields[0].field == "inputs.x"

    def test_shared_memory_is_a_failed_precondition(self) -> None:
        tensor = common_pb2.Tensor(shared_memory=common_pb2.SharedMemoryRegion(length_bytes=1))
        with pytest.raises(FailedPrecondition):
            raw_inputs(common_pb2.Item(inputs={"x": common_pb2.Value(tensor=tensor)}))


def test_steps_are_observed_by_name() -> None:
    seen: list[str] = []

    def observe(name: str) -> AbstractContextManager[object]:
        seen.append(name)
        return nullcontext()

    Pipeline.load(PHOTO).run({"photo": encoded(gradient(), "PNG")}, observe=observe)
    assert seen == ["decode_image", "resize", "to_tensor"]


def test_one_pipeline_runs_in_many_threads_without_mixing_rows() -> None:
    document = {
        "inputs": {"a": "number", "b": "number"},
        "steps": [
            {"op": "impute", "on": ["b"], "value": -1},
            {"op": "scale", "on": ["a", "b"], "mean": 0, "std": 2},
            {"op": "concat", "on": ["a", "b"], "output": "row"},
        ],
    }
    pipeline = Pipeline.load(document)

    def one(index: int) -> bool:
        processed = pipeline.run({"a": index, "b": index + 1 if index % 2 else None})
        expected = [index / 2, (index + 1) / 2 if index % 2 else -0.5]
        return processed.tensors["row"].tolist() == expected and len(processed.anomalies) == (index + 1) % 2

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(one, range(4000)))


json_data = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from([operation.name for operation in describe_operations()])
parameters = st.sampled_from(["input", "output", "on", "size", "mean", "value", "dtype", "shape", "categories", "min"])


@given(
    kind=st.sampled_from(["image", "text", "number", "category", "tensor"]),
    steps=st.lists(st.tuples(names, st.dictionaries(parameters, json_data, max_size=4)), max_size=4),
)
def test_any_document_loads_or_is_invalid_input(kind: str, steps: list[tuple[str, dict[str, Any]]]) -> None:
    document = {"inputs": {"x": kind}, "steps": [{"op": name, **values} for name, values in steps]}
    try:
        pipeline = Pipeline.load(document)
    except InvalidInput as error:
        assert error.message
    else:
        assert pipeline.outputs
