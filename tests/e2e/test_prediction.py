"""Real photos through the whole platform: right answers, equal to the model in process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime as ort
import pytest
import tritonclient.grpc.aio as triton
from PIL import Image
from tritonclient.grpc import service_pb2, service_pb2_grpc

from examples.efficientnet_lite0 import NAME, class_names, photos
from lepton_ai.errors import InvalidInput, NotFound
from lepton_ai.v1 import common_pb2, inference_pb2, inference_pb2_grpc
from tests.platform import Platform


def in_process(package: Path, photo: Path) -> Any:
    """Probabilities of the same model without any of Lepton's code."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(package / "model.onnx"), options)
    image = Image.open(photo).convert("RGB").resize((256, 256), Image.Resampling.BICUBIC).crop((16, 16, 240, 240))
    logits = session.run(None, {"image": np.asarray(image)[None]})[0][0]
    exponents = np.exp(logits - logits.max())
    return exponents / exponents.sum()


async def test_at_least_17_of_20_labelled_photos_are_recognised(platform: Platform) -> None:
    async with platform.client() as client:
        answer = await client.predict_batch(NAME, [photo.path for photo in photos()])
    right = sum(
        prediction.labels[0].index == photo.label_index
        for photo, prediction in zip(photos(), answer.predictions, strict=True)
    )
    assert right >= 17


async def test_probabilities_equal_those_of_the_model_in_process(platform: Platform, package: Path) -> None:
    async with platform.client() as client:
        for photo in photos():
            expected = in_process(package, photo.path)
            prediction = await client.predict(NAME, photo.path, top_k=1000)
            got = np.zeros(1000)
            got[[label.index for label in prediction.labels]] = [label.score for label in prediction.labels]
            assert np.abs(got - expected).max() < 1e-3


async def test_labels_carry_their_names(platform: Platform) -> None:
    async with platform.client() as client:
        prediction = await client.predict(NAME, photos()[0].path)
    names = class_names()
    assert len(prediction.labels) == 5
    assert all(label.name == names[label.index] for label in prediction.labels)


async def test_any_open_inference_client_gets_labels_for_a_photo(platform: Platform) -> None:
    photo = np.array([photos()[0].path.read_bytes()], dtype=np.object_)
    given = triton.InferInput("photo", [1], "BYTES")
    given.set_data_from_numpy(photo)
    async with triton.InferenceServerClient(platform.state.addresses["inference"]) as client:
        wanted = [triton.InferRequestedOutput("labels"), triton.InferRequestedOutput("scores")]
        result = await client.infer(NAME, [given], outputs=wanted)
    assert result.as_numpy("labels").shape == (1, 5)
    assert result.as_numpy("labels")[0, 0].decode() in class_names()
    assert result.as_numpy("scores")[0].tolist() == sorted(result.as_numpy("scores")[0].tolist(), reverse=True)


async def test_one_bad_photo_among_several_fails_alone(platform: Platform) -> None:
    good = photos()[0].path
    async with platform.client() as client:
        answer = await client.predict_batch(NAME, [good, b"no photo", good])
    assert [prediction.error is None for prediction in answer.predictions] == [True, False, True]
    assert isinstance(answer.predictions[1].error, InvalidInput)


@pytest.mark.parametrize("name", ["nosuch", f"{NAME}@99", f"{NAME}@nosuch"])
async def test_unknown_models_versions_and_aliases_are_not_found(platform: Platform, name: str) -> None:
    async with platform.client() as client:
        with pytest.raises(NotFound):
            await client.predict(name, photos()[0].path)


@pytest.mark.parametrize("name", ["../etc", "a\0b", "x" * 300, "模型", ""])
async def test_names_that_cannot_be_names_are_refused_at_the_edge(platform: Platform, name: str) -> None:
    address = platform.state.addresses["inference"].split(",")[0]
    raw = inference_pb2.PredictRequest(model=common_pb2.ModelRef(name=name), items=[common_pb2.Item()])
    infer = service_pb2.ModelInferRequest(model_name=name)
    async with grpc.aio.insecure_channel(address) as channel:
        native = inference_pb2_grpc.InferenceServiceStub(channel).Predict(raw, timeout=5)
        standard = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(infer, timeout=5)
        for call in (native, standard):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
            assert len(caught.value.details() or "") < 500


async def test_reflection_lists_the_services_of_every_port(platform: Platform) -> None:
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    expected = {
        "inference": {"lepton.v1.InferenceService", "inference.GRPCInferenceService"},
        "preprocess": {"lepton.v1.PreprocessService"},
        "registry": {"lepton.v1.RegistryService"},
        "health": {"lepton.v1.HealthService"},
    }
    for part, names in expected.items():
        with grpc.insecure_channel(platform.state.addresses[part]) as channel:
            listed = set(ProtoReflectionDescriptorDatabase(channel).get_services())
        assert names | {"grpc.health.v1.Health"} <= listed


async def test_lepton_paths_shows_what_was_measured_and_chosen(platform: Platform) -> None:
    async with platform.client() as client:
        for _ in range(8):
            await client.predict(NAME, photos()[0].path)
    (document,) = json.loads(platform.lepton("paths", NAME, "--json").stdout).values()
    small = {path["path"]: path for path in document["paths"] if not path["large_items"]}
    assert all(int(path["alone_us"]) > 1000 for path in small.values()), "both were measured"
    best = min(small, key=lambda name: int(small[name]["alone_us"]))
    assert [name for name, path in small.items() if path["chosen_alone"]] == [best]
    assert {"items", "tensors"} == {batches["input"] for batches in document["batches"]}
    shown = platform.lepton("paths", NAME).stdout
    assert "beside the model" in shown and "preprocess service" in shown
    absent = platform.lepton("paths", "absent")
    assert (absent.returncode, "not deployed" in absent.stderr) == (1, True)
