"""The Open Inference Protocol, spoken by tritonclient and by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from lepton_ai.dtypes import DTYPES, ELEMENT_BYTES
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.package import Caching
from lepton_ai.tensors import Array, encode_bytes
from services.inference.version import LoadedVersion
from tests.integration.inference.served_colours import ServedColours, served_colours
from tests.unit.inference.colours import BLUE, COLOURS, GREEN, RED, colours_version, image_tensor
from tests.unit.inference.parts import Described, Description, loaded_version


@pytest.fixture
async def served() -> AsyncIterator[ServedColours]:
    async with served_colours() as served:
        yield served


@pytest.fixture
async def client(served: ServedColours) -> AsyncIterator[Any]:
    client = tritonclient.grpc.aio.InferenceServerClient(served.address)
    yield client
    await client.close()


def stub(served: ServedColours) -> Any:
    return service_pb2_grpc.GRPCInferenceServiceStub(served.channel)


def pictures(*colours: tuple[int, int, int]) -> Any:
    array = image_tensor(*colours)
    tensor = tritonclient.grpc.InferInput("image", list(array.shape), "UINT8")
    tensor.set_data_from_numpy(array)
    return tensor


def photos(*files: bytes, shape: list[int] | None = None) -> Any:
    array = np.array(files, dtype=np.object_).reshape(shape or [len(files)])
    tensor = tritonclient.grpc.InferInput("photo", list(array.shape), "BYTES")
    tensor.set_data_from_numpy(array)
    return tensor


def wanted(*names: str) -> list[Any]:
    return [tritonclient.grpc.InferRequestedOutput(name) for name in names]


def infer_request(**fields: Any) -> Any:
    """A raw request for one black picture, with these fields instead."""
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=[1, 8, 8, 3])
    defaults = {"model_name": "colours", "inputs": [tensor], "raw_input_contents": [bytes(192)]}
    return service_pb2.ModelInferRequest(**{**defaults, **fields})


async def test_the_server_introduces_itself(client: Any) -> None:
    assert await client.is_server_live()
    assert await client.is_server_ready()
    metadata = await client.get_server_metadata()
    assert (metadata.name, metadata.version) == ("lepton", "1.2.3")
    assert "lepton_model_aliases" in metadata.extensions


@pytest.mark.parametrize(
    ("name", "version", "is_ready"),
    [
        ("colours", "", True),
        ("colours", "1", True),
        ("colours", "canary", True),
        ("colours", "9", False),
        ("colours", "7", False),
        ("colours", "beta", False),
        ("absent", "", False),
    ],
)
async def test_readiness_of_models(client: Any, name: str, version: str, is_ready: bool) -> None:
    assert await client.is_model_ready(name, version) is is_ready


async def test_metadata_names_tensors_and_what_the_pipeline_adds(client: Any) -> None:
    metadata = await client.get_model_metadata("colours")
    assert list(metadata.versions) == ["1", "2"]
    assert [(each.name, each.datatype, list(each.shape)) for each in metadata.inputs] == [
        ("image", "UINT8", [-1, 8, 8, 3]),
        ("photo", "BYTES", [-1]),
    ]
    assert [each.name for each in metadata.outputs] == ["logits", "labels", "scores"]


async def test_tensors_in_tensors_out(client: Any) -> None:
    result = await client.infer("colours", [pictures((16, 0, 0), (0, 0, 32))], request_id="mine")
    np.testing.assert_allclose(result.as_numpy("logits"), [[1, 0, 0], [0, 0, 2]])
    response = result.get_response()
    assert (response.id, response.model_name, response.model_version) == ("mine", "colours", "2")


def test_the_blocking_client_works_too() -> None:
    async def ask() -> Any:
        async with served_colours() as served:
            return await asyncio.to_thread(blocking, served.address)

    def blocking(address: str) -> Any:
        with tritonclient.grpc.InferenceServerClient(address) as client:
            return client.infer("colours", [pictures((16, 0, 0))]).as_numpy("logits").tolist()

    assert asyncio.run(ask()) == [[1.0, 0.0, 0.0]]


@pytest.mark.parametrize(("version", "served_by"), [("", "2"), ("1", "1"), ("canary", "1"), ("production", "2")])
async def test_the_version_is_a_number_an_alias_or_nothing(client: Any, version: str, served_by: str) -> None:
    result = await client.infer("colours", [pictures((1, 1, 1))], model_version=version)
    assert result.get_response().model_version == served_by


@pytest.mark.parametrize("shape", [[2], [2, 1]])
async def test_photos_go_through_the_pipeline_to_labels_and_scores(client: Any, shape: list[int]) -> None:
    inputs = [photos(BLUE, GREEN, shape=shape)]
    result = await client.infer("colours", inputs, outputs=wanted("labels", "scores"), parameters={"top_k": 3})
    labels = [[label.decode() for label in row] for row in result.as_numpy("labels")]
    assert [row[0] for row in labels] == [COLOURS[2], COLOURS[1]]
    scores = result.as_numpy("scores")
    assert scores.shape == (2, 3)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


async def test_photos_give_tensors_when_no_labels_are_asked_for(client: Any) -> None:
    result = await client.infer("colours", [photos(RED)])
    assert result.as_numpy("logits").argmax() == 0
    assert result.as_numpy("labels") is None


async def test_tensors_give_labels_when_asked_for(client: Any) -> None:
    result = await client.infer("colours", [pictures((0, 200, 0))], outputs=wanted("labels", "logits"))
    assert result.as_numpy("labels")[0][0].decode() == COLOURS[1]
    assert [output.name for output in result.get_response().outputs] == ["labels", "logits"]


async def test_typed_contents_are_answered_typed(served: ServedColours) -> None:
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=[1, 8, 8, 3])
    tensor.contents.uint_contents.extend([16] * 192)
    response = await stub(served).ModelInfer(infer_request(inputs=[tensor], raw_input_contents=[]))
    assert list(response.outputs[0].contents.fp32_contents) == [1.0, 1.0, 1.0]
    assert not response.raw_output_contents


def _input(name: str = "image", datatype: str = "UINT8", shape: tuple[int, ...] = (1, 8, 8, 3), **fields: Any) -> Any:
    return service_pb2.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape, **fields)


TYPED = service_pb2.InferTensorContents(uint_contents=[1] * 192)
SHARED = {"shared_memory_region": service_pb2.InferParameter(string_param="region")}
CODE = grpc.StatusCode

BAD: dict[str, tuple[dict[str, Any], CODE, str]] = {
    "unknown model": ({"model_name": "absent"}, CODE.NOT_FOUND, "MODEL_NOT_FOUND"),
    "no model": ({"model_name": ""}, CODE.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
    "unknown version": ({"model_version": "7"}, CODE.NOT_FOUND, "VERSION_NOT_FOUND"),
    "absurd version": ({"model_version": "9" * 40}, CODE.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
    "unknown alias": ({"model_version": "beta"}, CODE.NOT_FOUND, "ALIAS_NOT_FOUND"),
    "version that is being loaded": ({"model_version": "9"}, CODE.UNAVAILABLE, "MODEL_NOT_READY"),
    "wrong dtype": ({"inputs": [_input(datatype="FP32")]}, CODE.INVALID_ARGUMENT, "DTYPE_MISMATCH"),
    "no such dtype": ({"inputs": [_input(datatype="FP12")]}, CODE.INVALID_ARGUMENT, "DTYPE_MISMATCH"),
    "wrong shape": ({"inputs": [_input(shape=(1, 8, 8))]}, CODE.INVALID_ARGUMENT, "SHAPE_MISMATCH"),
    "negative shape": ({"inputs": [_input(shape=(-1, 8, 8, 3))]}, CODE.INVALID_ARGUMENT, "SHAPE_MISMATCH"),
    "short raw contents": ({"raw_input_contents": [bytes(191)]}, CODE.INVALID_ARGUMENT, "CONTENT_LENGTH"),
    "raw contents missing": (
        {"inputs": [_input(), _input("more")]},
        CODE.INVALID_ARGUMENT,
        "CONTENT_COUNT",
    ),
    "mixed raw and typed": ({"inputs": [_input(contents=TYPED)]}, CODE.INVALID_ARGUMENT, "MIXED_CONTENTS"),
    "no contents at all": ({"raw_input_contents": []}, CODE.INVALID_ARGUMENT, "CONTENT_LENGTH"),
    "typed contents in the wrong field": (
        {
            "raw_input_contents": [],
            "inputs": [_input(contents=service_pb2.InferTensorContents(fp32_contents=[1] * 192))],
        },
        CODE.INVALID_ARGUMENT,
        "WRONG_CONTENTS",
    ),
    "typed value out of range": (
        {
            "raw_input_contents": [],
            "inputs": [_input(contents=service_pb2.InferTensorContents(uint_contents=[256] * 192))],
        },
        CODE.INVALID_ARGUMENT,
        "OUT_OF_RANGE",
    ),
    "no inputs": ({"inputs": [], "raw_input_contents": []}, CODE.INVALID_ARGUMENT, "WRONG_INPUTS"),
    "unknown input": ({"inputs": [_input("picture")]}, CODE.INVALID_ARGUMENT, "WRONG_INPUTS"),
    "unknown output": (
        {"outputs": [service_pb2.ModelInferRequest.InferRequestedOutputTensor(name="nope")]},
        CODE.INVALID_ARGUMENT,
        "UNKNOWN_OUTPUT",
    ),
    "shared memory": (
        {"inputs": [_input(parameters=SHARED)], "raw_input_contents": []},
        CODE.UNIMPLEMENTED,
        "SHARED_MEMORY_UNAVAILABLE",
    ),
    "negative timeout": (
        {"parameters": {"timeout": service_pb2.InferParameter(int64_param=-1)}},
        CODE.INVALID_ARGUMENT,
        "WRONG_PARAMETER",
    ),
    "raw image in a wrong shape": (
        {"inputs": [_input("photo", "BYTES", (1, 2, 3))]},
        CODE.INVALID_ARGUMENT,
        "SHAPE_MISMATCH",
    ),
    "more raw items than a call may have": (
        {"inputs": [_input("photo", "BYTES", (1 << 20,))], "raw_input_contents": [bytes(4 << 20)]},
        CODE.RESOURCE_EXHAUSTED,
        "TOO_MANY_ITEMS",
    ),
    "a raw item without a batch": (
        {"inputs": [_input("photo", "BYTES", ())], "raw_input_contents": [bytes(4)]},
        CODE.INVALID_ARGUMENT,
        "SHAPE_MISMATCH",
    ),
    "BYTES without lengths": (
        {"inputs": [_input("photo", "BYTES", (1,))], "raw_input_contents": [b"xx"]},
        CODE.INVALID_ARGUMENT,
        "INVALID_ARGUMENT",
    ),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_requests_have_tritons_code_and_a_reason(served: ServedColours, name: str) -> None:
    fields, code, reason = BAD[name]
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub(served).ModelInfer(infer_request(**fields))
    assert failure.value.code() is code
    assert from_rpc_error(failure.value).reason == reason


async def test_short_contents_name_the_input(served: ServedColours) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub(served).ModelInfer(infer_request(raw_input_contents=[bytes(3)]))
    assert from_rpc_error(failure.value).fields[0].field == "inputs[image]"


async def test_a_bad_photo_among_good_ones_fails_the_call_and_says_which(client: Any) -> None:
    with pytest.raises(InferenceServerException) as failure:
        await client.infer("colours", [photos(RED, b"not an image")])
    assert failure.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert "rows[1].inputs.photo" in str(failure.value)


async def test_an_answer_from_the_cache_says_so_and_a_call_may_bypass_it() -> None:
    async with served_colours(colours_version(caching=Caching(answers=True))) as served:
        client = tritonclient.grpc.aio.InferenceServerClient(served.address)

        async def cached(colours: Any, **parameters: Any) -> int:
            answer = (await client.infer("colours", [colours], parameters=parameters)).get_response()
            return int(answer.parameters["cached"].int64_param) if "cached" in answer.parameters else 0

        assert await cached(pictures((1, 2, 3))) == 0
        assert await cached(pictures((1, 2, 3))) == 1
        assert await cached(pictures((1, 2, 3), (4, 5, 6))) == 1
        assert await cached(pictures((1, 2, 3)), bypass_cache=True) == 0
        await client.close()


async def test_the_timeout_parameter_is_kept(served: ServedColours) -> None:
    served.plane.triton.compute_s = 30.0
    parameters = {"timeout": service_pb2.InferParameter(int64_param=50_000)}
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub(served).ModelInfer(infer_request(parameters=parameters), timeout=20)
    assert failure.value.code() is CODE.DEADLINE_EXCEEDED


REFUSED = sorted(
    method.name
    for method in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    if method.name.startswith(("RepositoryModel", "SystemShared", "CudaShared")) or method.name.endswith("Settings")
)


@pytest.mark.parametrize("name", [*REFUSED, "TraceSetting"])
async def test_rpcs_that_would_change_the_server_are_refused_clearly(served: ServedColours, name: str) -> None:
    method = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name[name]
    request = getattr(service_pb2, method.input_type.name)()
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await getattr(stub(served), name)(request)
    assert failure.value.code() is CODE.UNIMPLEMENTED
    error = from_rpc_error(failure.value)
    assert name in error.message
    assert error.fix
    assert failure.value.details() == str(error)  # all that tritonclient shows


def echo(dtype: str) -> tuple[LoadedVersion, Callable[[str, Mapping[str, Array]], Mapping[str, Array]]]:
    """A model that answers what it gets, under another name."""
    description = Description("echo", (Described("x", dtype, (-1, 2)),), (Described("y", dtype, (-1, 2)),))
    return loaded_version(description=description), lambda _, inputs: {"y": inputs["x"]}


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype != "BF16"])
async def test_every_dtype_passes_unchanged(dtype: str) -> None:
    version, compute = echo(dtype)
    content = (
        encode_bytes(["grün", b"\0\xff", "", "蓝"])
        if dtype == "BYTES"
        else bytes(index % 2 for index in range(4 * ELEMENT_BYTES[dtype]))
    )
    async with served_colours(version) as served:
        served.plane.triton.compute = compute
        tensor = _input("x", dtype, (2, 2))
        request = service_pb2.ModelInferRequest(model_name="colours", inputs=[tensor], raw_input_contents=[content])
        response = await stub(served).ModelInfer(request)
    assert (response.outputs[0].datatype, list(response.outputs[0].shape)) == (dtype, [2, 2])
    assert response.raw_output_contents[0] == content


TYPED_FORMS: dict[str, tuple[str, list[Any]]] = {
    "BOOL": ("bool_contents", [True, False]),
    "INT8": ("int_contents", [-128, 127]),
    "INT16": ("int_contents", [-32768, 5]),
    "INT32": ("int_contents", [-(2**31), 5]),
    "INT64": ("int64_contents", [-(2**63), 5]),
    "UINT8": ("uint_contents", [255, 0]),
    "UINT16": ("uint_contents", [65535, 0]),
    "UINT32": ("uint_contents", [2**32 - 1, 0]),
    "UINT64": ("uint64_contents", [2**64 - 1, 0]),
    "FP32": ("fp32_contents", [0.5, -2.0]),
    "FP64": ("fp64_contents", [0.1, -2.0]),
    "BYTES": ("bytes_contents", ["grün".encode(), b""]),
}


@pytest.mark.parametrize("dtype", TYPED_FORMS)
async def test_every_typed_form_comes_back_typed(dtype: str) -> None:
    version, compute = echo(dtype)
    field, values = TYPED_FORMS[dtype]
    async with served_colours(version) as served:
        served.plane.triton.compute = compute
        tensor = _input("x", dtype, (1, 2), contents=service_pb2.InferTensorContents(**{field: values}))
        response = await stub(served).ModelInfer(service_pb2.ModelInferRequest(model_name="colours", inputs=[tensor]))
    assert list(getattr(response.outputs[0].contents, field)) == values


async def test_raw_only_dtypes_are_answered_raw_to_typed_requests() -> None:
    description = Description("half", (Described("x", "FP32", (-1, 2)),), (Described("y", "FP16", (-1, 2)),))
    async with served_colours(loaded_version(description=description)) as served:
        served.plane.triton.compute = lambda _, inputs: {"y": np.asarray(inputs["x"], np.float16)}
        tensor = _input("x", "FP32", (1, 2), contents=service_pb2.InferTensorContents(fp32_contents=[1, 2]))
        response = await stub(served).ModelInfer(service_pb2.ModelInferRequest(model_name="colours", inputs=[tensor]))
    assert np.frombuffer(response.raw_output_contents[0], np.float16).tolist() == [1, 2]
