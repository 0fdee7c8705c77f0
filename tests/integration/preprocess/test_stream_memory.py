"""Tensors of a PreprocessStream through memory: room, leases, clients that die, and who gets none."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lepton_ai.mesh.leased_memory import owner
from lepton_ai.testing.eventually import eventually
from tests.integration.preprocess.serving import Served, Stream, photo, preprocess_service
from tests.integration.preprocess.test_stream import EFFICIENTNET, NUMBERS, number
from tests.photos import imagenet_photos


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with preprocess_service() as served:
        yield served


def shared_bytes(served: Served) -> float | None:
    return served.metrics.registry.get_sample_value("lepton_preprocess_shared_bytes")


def sent(served: Served, way: str) -> float | None:
    return served.metrics.registry.get_sample_value("lepton_preprocess_tensors_total", {"way": way})


class TestThroughMemory:
    """Photos of 150,528 bytes each, in a memory of which a stream may have three."""

    @pytest.fixture
    async def served(self) -> AsyncIterator[Served]:
        async with preprocess_service(shared_memory_bytes=1 << 20) as served:
            yield served

    @pytest.fixture
    async def stream(self, served: Served) -> Stream:
        stream = Stream(served.stub)
        await stream.open_memory()
        await stream.define(EFFICIENTNET)
        return stream

    async def ask(self, stream: Stream, first: int, count: int = 5) -> None:
        """Photos are answered, each with its own tensor."""
        photos = {index: imagenet_photos()[index % 20].read_bytes() for index in range(first, first + count)}
        await stream.send(EFFICIENTNET.digest, {index: photo(data) for index, data in photos.items()})
        for index, result in (await stream.read(count)).items():
            expected = EFFICIENTNET.run({"photo": photos[index]}).tensors["image"]
            assert result.tensors.tensors[0].data == expected.tobytes()

    async def test_what_finds_no_room_comes_inside_messages_until_leases_are_released(
        self, served: Served, stream: Stream
    ) -> None:
        await self.ask(stream, 0)
        assert (sent(served, "memory"), sent(served, "message")) == (3, 2)
        assert shared_bytes(served) == 3 * 150_528
        await stream.release()
        await self.ask(stream, 5)
        assert (sent(served, "memory"), sent(served, "message")) == (6, 4)

    async def test_a_client_that_dies_keeps_nothing_from_others(
        self, served: Served, stream: Stream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(owner, "PARTING_S", 0.0)
        for _ in range(2):
            await self.ask(stream, 0, 3)
            stream.call.cancel()
            stream = Stream(served.stub)
            await stream.open_memory()
            await stream.define(EFFICIENTNET)
        await eventually(lambda: served.metrics.in_flight == 1, description="the dead streams have ended")
        await self.ask(stream, 0, 3)
        assert sent(served, "memory") == 9

    async def test_the_last_answers_of_a_stream_can_be_read_after_its_end(self, served: Served, stream: Stream) -> None:
        data = imagenet_photos()[0].read_bytes()
        await stream.send(EFFICIENTNET.digest, {1: photo(data)})
        await stream.call.done_writing()
        await eventually(lambda: served.metrics.in_flight == 0, description="the service has ended the stream")
        assert (await stream.rest())[1].HasField("lease")


async def test_who_does_not_ask_is_offered_no_memory(served: Served) -> None:
    stream = Stream(served.stub)
    await stream.define(EFFICIENTNET)
    await stream.send(EFFICIENTNET.digest, {1: photo(imagenet_photos()[0].read_bytes())})
    message = await stream.call.read()
    assert not message.HasField("memory")
    assert message.results[0].result.tensors.tensors[0].data


async def test_where_there_is_no_memory_none_is_offered() -> None:
    async with preprocess_service(shared_memory_bytes=0) as served:
        stream = Stream(served.stub)
        await stream._use(wanted=True)
        await stream.define(NUMBERS)
        await stream.send(NUMBERS.digest, {1: number(1)})
        assert (await stream.read(1))[1].HasField("tensors")
