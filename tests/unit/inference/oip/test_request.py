"""Open Inference Protocol requests: raw items of every kind, references, parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from lepton_ai.errors import InvalidInput, Unsupported
from lepton_ai.pipeline import raw_inputs
from lepton_ai.tensors import Array, encode_bytes
from services.inference.call import Priority
from services.inference.oip.request import (
    Parameters,
    check_tensor_parameters,
    is_raw_items,
    model_ref,
    read_items,
    read_parameters,
)
from services.inference.routing.routes import ModelReference
from services.inference.rows import NamedTensor
from tests.unit.inference.parts import named


def texts(name: str, *elements: str | bytes) -> NamedTensor:
    return NamedTensor(name, "BYTES", (len(elements),), encode_bytes(elements))


def test_every_row_becomes_an_item_with_all_its_inputs() -> None:
    tensors = [
        texts("text", "grün", "蓝"),
        named("age", np.array([[41.5], [7]], np.float32)),
        named("count", np.array([3, 4], np.int64)),
        texts("price", b"1.25", b"2"),
        named("window", np.arange(6, dtype=np.float32).reshape(2, 3)),
    ]
    kinds = {"text": "text", "age": "number", "count": "category", "price": "number", "window": "tensor"}
    first, second = (raw_inputs(item) for item in read_items(tensors, kinds))
    assert (first["text"], first["age"], first["count"], first["price"]) == ("grün".encode(), 41.5, 3, 1.25)
    assert (second["age"], second["count"]) == (7.0, 4)
    window = second["window"]
    assert isinstance(window, np.ndarray)
    assert window.tolist() == [3.0, 4.0, 5.0]


def test_a_text_is_left_to_the_pipeline_where_that_reads_it_as_its_table_was_read() -> None:
    (item,) = read_items(
        [texts("price", b"12.500"), texts("age", b"41")], {"price": "number", "age": "number"}, {"price"}
    )
    assert (item.inputs["price"].data, item.inputs["age"].number) == (b"12.500", 41)


def test_whole_numbers_of_64_bits_are_not_rounded() -> None:
    largest = (1 << 64) - 1
    (item,) = read_items([named("id", np.array([largest], np.uint64))], {"id": "category"})
    assert raw_inputs(item)["id"] == largest


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ([texts("photo", b"a", b"b"), texts("text", "one")], "SHAPE_MISMATCH"),
        ([NamedTensor("photo", "BYTES", (1, 2), encode_bytes([b"a", b"b"]))], "SHAPE_MISMATCH"),
        ([NamedTensor("photo", "BYTES", (), b"")], "SHAPE_MISMATCH"),
        ([NamedTensor("photo", "BYTES", (-1,), b"")], "SHAPE_MISMATCH"),
        ([texts("photo")], "EMPTY_BATCH"),
        ([named("photo", np.zeros(1, np.float32))], "DTYPE_MISMATCH"),
        ([texts("age", "old")], "WRONG_KIND"),
        ([NamedTensor("age", "FP32", (2,), bytes(4))], "CONTENT_LENGTH"),
        ([NamedTensor("photo", "BYTES", (1,), b"\xff\0\0\0")], "INVALID_ARGUMENT"),
        ([texts("photo", b"a"), texts("photo", b"b")], "WRONG_INPUTS"),
        ([NamedTensor("window", "FP32", (1 << 62, 0), b"")], "SHAPE_MISMATCH"),
    ],
)
def test_rows_that_make_no_items(tensors: list[NamedTensor], reason: str) -> None:
    with pytest.raises(InvalidInput) as error:
        read_items(tensors, {"photo": "image", "text": "text", "age": "number", "window": "tensor"})
    assert error.value.reason == reason


def array(dtype: type) -> Array:
    return np.zeros((1, 2), dtype)


@pytest.mark.parametrize(
    ("tensors", "is_raw"),
    [
        ([texts("photo", b"a")], True),
        ([named("image", array(np.uint8))], False),
        ([texts("photo", b"a"), named("image", array(np.uint8))], False),
        ([texts("image", b"a")], False),
        ([], False),
    ],
)
def test_a_request_speaks_to_the_pipeline_or_to_the_model(tensors: list[NamedTensor], is_raw: bool) -> None:
    assert is_raw_items(tensors, {"photo": "image"}, {"image": "UINT8"}) is is_raw


def test_a_name_that_both_know_belongs_to_the_model_when_the_dtype_says_so() -> None:
    both = {"image": "image"}
    assert is_raw_items([texts("image", b"a")], both, {"image": "UINT8"})
    assert not is_raw_items([named("image", array(np.uint8))], both, {"image": "UINT8"})


@pytest.mark.parametrize(
    ("version", "meant"),
    [
        ("", ModelReference("m")),
        ("7", ModelReference("m", 7)),
        ("canary", ModelReference("m", alias="canary")),
        ("v7", ModelReference("m", alias="v7")),
        ("٧", ModelReference("m", alias="٧")),
    ],
)
def test_the_version_field_selects_a_version_or_an_alias(version: str, meant: ModelReference) -> None:
    assert model_ref("m", version) == meant


def test_parameters_are_read_and_defaults_are_live() -> None:
    request = service_pb2.ModelInferRequest()
    assert read_parameters(request).priority is Priority.LIVE
    request.parameters["timeout"].int64_param = 1_500_000
    request.parameters["priority"].uint64_param = 2
    request.parameters["top_k"].int64_param = 3
    request.parameters["routing_key"].string_param = "user-1"
    parameters = read_parameters(request)
    assert (parameters.timeout_s, parameters.priority) == (1.5, Priority.BULK)
    assert (parameters.top_k, parameters.routing_key) == (3, "user-1")
    request.parameters["top_k"].int64_param = 100_000
    with pytest.raises(InvalidInput):
        read_parameters(request)


@pytest.mark.parametrize(
    "sent", [{"sequence_id": 5}, {"sequence_id": "abc"}, {"sequence_start": True}, {"sequence_end": True}]
)
def test_a_call_of_a_sequence_is_refused_as_models_keep_no_state(sent: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="keep nothing from one call to the next"):
        read_parameters(with_parameters(sent))


def test_an_unknown_parameter_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"parameters\[temperature\]: is not known here") as error:
        read_parameters(with_parameters({"temperature": 3}))
    assert error.value.reason == "UNKNOWN_PARAMETER"
    assert error.value.fix == "Known are timeout, priority, top_k, routing_key, bypass_cache, exact."


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_wish_about_a_single_tensor_is_refused_as_well(side: str) -> None:
    request = service_pb2.ModelInferRequest()
    tensor = getattr(request, side).add(name="x")
    for harmless in ("binary_data", "binary_data_size", "content_type"):
        tensor.parameters[harmless].bool_param = True
    check_tensor_parameters(request)
    tensor.parameters["scale"].int64_param = 2
    with pytest.raises(InvalidInput, match=side + r"\[x\]\.parameters\[scale\]: is not known here"):
        check_tensor_parameters(request)
    del tensor.parameters["scale"]
    tensor.parameters["shared_memory_region"].string_param = "r"
    with pytest.raises(Unsupported, match=side + r"\[x\]: shared_memory_region is not served here"):
        check_tensor_parameters(request)


def test_a_routing_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidInput, match="is not a text"):
        read_parameters(with_parameters({"routing_key": 7}))


def test_a_call_may_bypass_the_cache() -> None:
    assert read_parameters(with_parameters({"bypass_cache": True})).may_cache is False
    assert read_parameters(with_parameters({"bypass_cache": False})).may_cache is True
    with pytest.raises(InvalidInput, match=r"parameters\[bypass_cache\]: is not a boolean"):
        read_parameters(with_parameters({"bypass_cache": 1}))


def test_what_tritons_clients_send_along_by_themselves_is_taken() -> None:
    sent = {"sequence_id": 0, "sequence_start": False, "sequence_end": False, "binary_data_output": True}
    assert read_parameters(with_parameters(sent | {"triton_enable_empty_final_response": True})) == Parameters()


def with_parameters(values: dict[str, Any]) -> Any:
    request = service_pb2.ModelInferRequest()
    for name, value in values.items():
        kind = {bool: "bool_param", int: "int64_param", str: "string_param"}[type(value)]
        setattr(request.parameters[name], kind, value)
    return request
