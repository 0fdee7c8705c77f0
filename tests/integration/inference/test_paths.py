"""Pipelines beside their models in the real Triton: the same answers as through the preprocess service, bit for bit."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lepton_ai.mesh.errors import from_status
from lepton_ai.mesh.tracing.context import context_of, undecided
from lepton_ai.testing import eventually
from lepton_ai.v1 import common_pb2, inference_pb2
from lepton_ai.v1.inference_pb2_grpc import InferenceServiceStub
from services.inference.call import Call
from services.inference.paths.path import Path
from services.inference.predict.items import ItemRunner
from services.inference.predict.runtime import ModelRuntime
from services.inference.routing.routes import ModelReference
from services.inference.triton.client import Triton
from services.inference.triton.repository import ITEMS
from tests.integration.inference.test_whole_path import SAMPLED, spans_of
from tests.integration.inference.whole_path import WholePath, whole_path
from tests.unit.inference.colours import COLOURS, RED, item

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WholePath]:
    async with whole_path(tmp_path_factory.mktemp("paths"), item_path=Path.FUSED) as served:
        yield served


async def outcome(served: WholePath, data: bytes, path: Path) -> tuple[object, ...]:
    """What becomes of an item on this path, all that a caller could see of it."""
    loaded = served.replica.predictor.describe(ModelReference("colours")).loaded
    runtime = ModelRuntime(loaded, served.replica.runtimes.of(loaded).batcher, path=path)
    runner = ItemRunner(served.replica.preprocessing, max_item_bytes=1 << 20)
    assert loaded.pipeline_proto is not None
    call = Call.arrive(timeout_s=20, context=context_of(undecided()))
    made = await runner.run(runtime, loaded.pipeline_proto, item(data), call)
    error = None if made.error is None else (type(made.error), made.error.reason, made.error.message, made.error.fields)
    return made.rows, error, [str(each) for each in made.anomalies], made.frame


def png(pixels: np.ndarray) -> bytes:  # type: ignore[type-arg]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@st.composite
def photos(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(["photo", "bytes", "cut"]))
    if kind == "bytes":
        return draw(st.binary(max_size=200))
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    source = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    content = png(source.integers(0, 256, (height, width, 3), dtype=np.uint8))
    return content[: len(content) // 2] if kind == "cut" else content


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=photos())
async def test_both_paths_give_the_same_answer_to_the_bit(served: WholePath, data: bytes) -> None:
    assert await outcome(served, data, Path.FUSED) == await outcome(served, data, Path.REMOTE)


async def test_the_model_takes_items_beside_tensors(served: WholePath) -> None:
    loaded = served.replica.predictor.describe(ModelReference("colours")).loaded
    assert loaded.runs_items
    triton = Triton(served.triton.address)
    described = await triton.metadata(loaded.triton_name)
    await triton.close()
    assert [tensor.name for tensor in described.inputs] == ["image", ITEMS]


async def test_a_bad_item_fails_alone_in_a_batch_of_raw_items(served: WholePath) -> None:
    stub = InferenceServiceStub(served.channel)
    items = [item(RED, "a"), item(b"not a photo", "b"), item(RED, "c")]
    request = inference_pb2.PredictRequest(model=common_pb2.ModelRef(name="colours"), items=items)
    good, bad, other = (await stub.Predict(request, timeout=20)).predictions
    assert good.classification.labels[0].name == other.classification.labels[0].name == COLOURS[0]
    assert from_status(bad.error).fields[0].field == "items[1].inputs.photo"


async def test_the_steps_of_a_pipeline_beside_its_model_are_in_the_trace(served: WholePath) -> None:
    await InferenceServiceStub(served.channel).Predict(
        inference_pb2.PredictRequest(model=common_pb2.ModelRef(name="colours"), items=[item(RED)]),
        metadata=SAMPLED,
        timeout=20,
    )
    wanted = {"inference: preprocess", "inference: decode_image", "inference: compute", "triton: InferRequest"}

    async def all_spans() -> dict[str, Any]:
        spans = await asyncio.to_thread(spans_of, served.traces.http)
        return spans if wanted <= spans.keys() else {}

    found = await eventually(all_spans, timeout_s=15, description="all spans of the trace", interval_s=0.1)
    parents = {name: span["references"][0]["spanID"] for name, span in found.items() if span["references"]}
    assert parents["inference: preprocess"] == found["inference: compute"]["spanID"]
    assert parents["inference: decode_image"] == found["inference: preprocess"]["spanID"]
    assert found["inference: preprocess"]["startTime"] >= found["inference: compute"]["startTime"]
