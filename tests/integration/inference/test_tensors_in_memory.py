"""Tensors of a preprocess process of the same host come through its memory, and inside messages where they cannot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from opentelemetry import context

from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.discovery.endpoints import fixed_endpoints
from lepton_ai.mesh.leased_memory import layout as memory_layout
from lepton_ai.mesh.leased_memory.reader import OpenedMemory
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.pipeline import Pipeline
from lepton_ai.testing import captured_spans, eventually
from services.inference.preprocessing.streams import StreamedPreprocessing
from tests.photos import imagenet_photos
from tests.service_process import service_process
from tests.unit.inference.colours import item
from tests.unit.inference.parts import NO_TRACING, in_seconds

pytestmark = pytest.mark.asyncio(loop_scope="module")

SMALL_MEMORY = {"LEPTON_SHARED_MEMORY_BYTES": str(1 << 20)}
"""Ten photos as floats are all that a stream may have there."""


def pipeline(dtype: str, layout: str) -> Pipeline:
    """Photos of 64 × 64 pixels: 12 KiB as bytes, 48 KiB as floats."""
    to_tensor = {"op": "to_tensor", "output": "image", "dtype": dtype, "layout": layout}
    steps = [{"op": "decode_image", "input": "photo"}, {"op": "resize", "size": [64, 64]}, to_tensor]
    return Pipeline.load({"inputs": {"photo": "image"}, "steps": steps})


BYTES, FLOATS = pipeline("UINT8", "HWC"), pipeline("FP32", "CHW")
PHOTOS = [path.read_bytes() for path in imagenet_photos()]
EXPECTED = {
    each.digest: [each.run({"photo": photo}).tensors["image"].tobytes() for photo in PHOTOS] for each in (BYTES, FLOATS)
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address() -> AsyncIterator[str]:
    """A preprocess process, and no test may harm it."""
    async with service_process("preprocess", **SMALL_MEMORY) as (_, address):
        yield address


@asynccontextmanager
async def preprocessing(*addresses: str, tracing: Tracing = NO_TRACING) -> AsyncIterator[StreamedPreprocessing]:
    pool = ServicePool("preprocess", fixed_endpoints("preprocess", addresses), doubt_s=0.05)
    await pool.start()
    client = StreamedPreprocessing(pool, tracing, max_items=100, max_bytes=1 << 30)
    await client.start()
    yield client
    await client.close()
    await pool.close()


async def ask(client: StreamedPreprocessing, number: int, pipeline: Pipeline = FLOATS) -> bool:
    """Whether the tensor of this photo came through memory; it must be right in any case."""
    photo, number = item(PHOTOS[number % 20]), number % 20
    made = await client.process(pipeline.to_proto(), photo, deadline=in_seconds(20), context=context.get_current())
    (tensor,) = made.tensors()
    assert tensor.data == EXPECTED[pipeline.digest][number]
    return bool(made.contents)


async def opens_memory(client: StreamedPreprocessing) -> bool:
    """The first answers of a stream may be there before its memory is opened."""
    return await ask(client, 0)


async def test_large_tensors_come_through_memory_equal_to_the_bit_and_small_ones_inside_messages(address: str) -> None:
    async with preprocessing(address) as client:
        await eventually(lambda: opens_memory(client), description="a tensor comes through memory")
        assert all(await asyncio.gather(*(ask(client, number) for number in range(8))))
        assert not any(await asyncio.gather(*(ask(client, number, BYTES) for number in range(8))))


async def test_leases_are_released_so_that_memory_for_ten_photos_does_for_any_number(address: str) -> None:
    async with preprocessing(address) as client:
        await eventually(lambda: opens_memory(client), description="a tensor comes through memory")
        assert [await ask(client, number) for number in range(40)] == [True] * 40


async def test_many_at_once_are_answered_rightly_whichever_way_each_comes(address: str) -> None:
    async with preprocessing(address) as client:
        await eventually(lambda: opens_memory(client), description="a tensor comes through memory")
        assert any(await asyncio.gather(*(ask(client, number) for number in range(80))))


async def test_spans_say_which_way_tensors_came(address: str) -> None:
    with captured_spans(ratio=1.0) as captured:
        async with preprocessing(address, tracing=captured.tracing) as client:
            with captured.tracing.span("caller"):
                await eventually(lambda: opens_memory(client), description="a tensor comes through memory")
                await ask(client, 1, BYTES)
        spans = captured.named("lepton.v1.PreprocessService/PreprocessStream")
        assert [(span.attributes or {})["lepton.tensors"] for span in spans][-2:] == ["memory", "message"]


async def test_memory_that_cannot_be_opened_is_not_used(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def refused(offer: object) -> OpenedMemory:
        tried.append(offer)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(OpenedMemory, "open", refused)
    async with preprocessing(address) as client:
        assert [await ask(client, number) for number in range(5)] == [False] * 5
        assert len(tried) == 1


async def mapped() -> int:
    """How often this process has such memory mapped, its own of other tests included."""
    return (await asyncio.to_thread(Path("/proc/self/maps").read_text)).count(memory_layout.NAME)


async def test_kill_9_of_a_preprocess_process_fails_no_item_and_leaves_nothing(address: str) -> None:
    before = await mapped()
    async with (
        service_process("preprocess", **SMALL_MEMORY) as (victim, other),
        preprocessing(address, other) as client,
    ):
        assert any([await ask(client, number) for number in range(20)])
        assert await mapped() > before
        asked = [asyncio.ensure_future(ask(client, number)) for number in range(60)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        victim.kill()
        await asyncio.gather(*asked)
        assert await victim.wait() < 0
    assert await mapped() <= before
