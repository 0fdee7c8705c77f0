"""A photo in, a label out: through etcd, a preprocess process and a real Triton, with one trace over all of it."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import urllib.request
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
import tritonclient.grpc.aio
from PIL import Image
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.mesh.tracing.context import TRACEPARENT
from lepton_ai.pipeline import Pipeline
from lepton_ai.tensors import encode_bytes
from lepton_ai.testing import eventually
from lepton_ai.v1 import common_pb2, inference_pb2
from lepton_ai.v1.inference_pb2_grpc import InferenceServiceStub
from services.inference.paths.path import Path as ItemPath
from tests.integration.inference.whole_path import WholePath, whole_path
from tests.photos import imagenet_photos
from tests.unit.inference.colours import COLOURS, PIPELINE, RED, item, photo

pytestmark = pytest.mark.asyncio(loop_scope="module")

CODE = grpc.StatusCode
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = ((TRACEPARENT, f"00-{TRACE_ID}-b7ad6b7169203331-01"),)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def path(directory: Path) -> AsyncIterator[WholePath]:
    async with whole_path(directory, item_path=ItemPath.REMOTE) as path:
        yield path


def request(data: bytes, **model: Any) -> inference_pb2.PredictRequest:
    return inference_pb2.PredictRequest(model=common_pb2.ModelRef(name="colours", **model), items=[item(data)])


async def test_real_photos_get_the_label_that_the_model_gives_in_process(path: WholePath) -> None:
    stub = InferenceServiceStub(path.channel)
    pipeline = Pipeline.load(PIPELINE)
    for file in imagenet_photos()[:5]:
        image = pipeline.run({"photo": file.read_bytes()}).tensors["image"]
        logits = np.asarray(image, np.float64).mean(axis=(0, 1)) / 16
        chances = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        response = await stub.Predict(request(file.read_bytes()), timeout=20)
        label = response.predictions[0].classification.labels[0]
        assert label.name == COLOURS[int(logits.argmax())]
        assert label.score == pytest.approx(chances.max(), abs=1e-3)


async def test_triton_clients_send_photos_and_get_labels(path: WholePath) -> None:
    client = tritonclient.grpc.aio.InferenceServerClient(path.address)
    assert await client.is_model_ready("colours", "production")
    tensor = tritonclient.grpc.InferInput("photo", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([RED], dtype=np.object_))
    outputs = [tritonclient.grpc.InferRequestedOutput("labels")]
    result = await client.infer("colours", [tensor], outputs=outputs)
    assert result.as_numpy("labels")[0][0].decode() == COLOURS[0]
    await client.close()


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (10, 200, 30)).save(buffer, "JPEG")
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *extra: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


APNG = png(8, 8, chunk(b"acTL", struct.pack(">II", 10_000, 0)))

BAD_PHOTOS: dict[str, tuple[bytes, CODE, str]] = {
    "not an image": (b"hello, I am a text", CODE.INVALID_ARGUMENT, "NOT_AN_IMAGE"),
    "truncated JPEG": (jpeg()[:-40], CODE.INVALID_ARGUMENT, "UNREADABLE_IMAGE"),
    "empty": (b"", CODE.INVALID_ARGUMENT, "EMPTY_IMAGE"),
    "60,000 × 60,000 header": (png(60_000, 60_000), CODE.INVALID_ARGUMENT, "IMAGE_TOO_LARGE"),
    "APNG": (APNG, CODE.INVALID_ARGUMENT, "ANIMATED_IMAGE"),
}


@pytest.mark.parametrize("name", BAD_PHOTOS)
async def test_a_bad_photo_gets_a_typed_error_at_once_and_disturbs_nobody(path: WholePath, name: str) -> None:
    data, code, reason = BAD_PHOTOS[name]
    stub = InferenceServiceStub(path.channel)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.Predict(request(data), timeout=2)
    error = from_rpc_error(failure.value)
    assert (failure.value.code(), error.reason) == (code, reason)
    assert error.fields[0].field == "items[0].inputs.photo"
    mixed = inference_pb2.PredictRequest(
        model=common_pb2.ModelRef(name="colours"), items=[item(RED), item(data), item(RED)]
    )
    outcomes = [each.WhichOneof("outcome") for each in (await stub.Predict(mixed, timeout=5)).predictions]
    assert outcomes == ["classification", "error", "classification"]


@pytest.mark.parametrize(
    ("model", "code", "reason"),
    [
        ({"name": "absent"}, CODE.NOT_FOUND, "MODEL_NOT_FOUND"),
        ({"name": "colours", "version": 7}, CODE.NOT_FOUND, "VERSION_NOT_FOUND"),
        ({"name": "colours", "alias": "beta"}, CODE.NOT_FOUND, "ALIAS_NOT_FOUND"),
    ],
)
async def test_what_is_not_deployed(path: WholePath, model: dict[str, Any], code: CODE, reason: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await InferenceServiceStub(path.channel).Predict(
            inference_pb2.PredictRequest(model=common_pb2.ModelRef(**model), items=[item(RED)]), timeout=5
        )
    assert (failure.value.code(), from_rpc_error(failure.value).reason) == (code, reason)


def tensor(**fields: Any) -> Any:
    defaults = {"name": "image", "datatype": "UINT8", "shape": [1, 8, 8, 3]}
    return service_pb2.ModelInferRequest.InferInputTensor(**{**defaults, **fields})


TYPED = service_pb2.InferTensorContents(uint_contents=[1] * 192)

BAD_TENSORS: dict[str, tuple[Any, bytes, str]] = {
    "wrong dtype": (tensor(datatype="FP32"), bytes(768), "DTYPE_MISMATCH"),
    "wrong shape": (tensor(shape=[1, 9, 8, 3]), bytes(216), "SHAPE_MISMATCH"),
    "short raw contents": (tensor(), bytes(100), "CONTENT_LENGTH"),
    "mixed raw and typed": (tensor(contents=TYPED), bytes(192), "MIXED_CONTENTS"),
}


@pytest.mark.parametrize("name", BAD_TENSORS)
async def test_bad_tensors_never_reach_triton(path: WholePath, name: str) -> None:
    wrong, content, reason = BAD_TENSORS[name]
    stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(path.channel)
    bad = service_pb2.ModelInferRequest(model_name="colours", inputs=[wrong], raw_input_contents=[content])
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.ModelInfer(bad, timeout=5)
    assert (failure.value.code(), from_rpc_error(failure.value).reason) == (CODE.INVALID_ARGUMENT, reason)
    raw = service_pb2.ModelInferRequest(
        model_name="colours",
        inputs=[tensor(name="photo", datatype="BYTES", shape=[1])],
        raw_input_contents=[encode_bytes([photo((0, 0, 200))])],
    )
    assert np.frombuffer((await stub.ModelInfer(raw, timeout=5)).raw_output_contents[0], np.float32).argmax() == 2


async def test_one_trace_shows_every_step_triton_included(path: WholePath) -> None:
    await InferenceServiceStub(path.channel).Predict(request(jpeg()), metadata=SAMPLED, timeout=10)

    wanted = {
        "inference: lepton.v1.InferenceService/Predict",
        "inference: lepton.v1.PreprocessService/PreprocessStream",
        "preprocess: lepton.v1.PreprocessService/PreprocessStream",
        "inference: queue",
        "inference: compute",
        "inference: batch",
        "inference: inference.GRPCInferenceService/ModelInfer",
        "triton: InferRequest",
        "triton: compute",
    }

    async def all_spans() -> dict[str, dict[str, Any]]:
        spans = await asyncio.to_thread(spans_of, path.traces.http)
        return spans if wanted <= spans.keys() else {}

    found = await eventually(all_spans, timeout_s=15, description="all spans of the trace", interval_s=0.1)
    parents = {
        name: next((other for other, span in found.items() if span["spanID"] == each["references"][0]["spanID"]), None)
        for name, each in found.items()
        if each["references"]
    }
    predict = "inference: lepton.v1.InferenceService/Predict"
    assert parents["inference: lepton.v1.PreprocessService/PreprocessStream"] == predict
    assert (
        parents["preprocess: lepton.v1.PreprocessService/PreprocessStream"]
        == "inference: lepton.v1.PreprocessService/PreprocessStream"
    )
    assert parents["inference: queue"] == parents["inference: compute"] == predict
    assert parents["inference: batch"] == "inference: compute"
    assert parents["inference: inference.GRPCInferenceService/ModelInfer"] == "inference: batch"
    assert parents["triton: InferRequest"] == "inference: inference.GRPCInferenceService/ModelInfer"


def spans_of(traces: str) -> dict[str, dict[str, Any]]:
    """ "service: operation" → span, from Jaeger's query API."""
    with urllib.request.urlopen(f"http://{traces}/api/traces/{TRACE_ID}", timeout=5) as answer:
        (trace,) = json.load(answer)["data"]
    services = {key: process["serviceName"] for key, process in trace["processes"].items()}
    return {f"{services[span['processID']]}: {span['operationName']}": span for span in trace["spans"]}
