"""PreprocessStream over a real connection: photos, many items, errors, deadlines, cancelling, overload, drain."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest

from lepton_ai import tensors
from lepton_ai.errors import DeadlineExceeded, FailedPrecondition, InvalidInput, LeptonError, ResourceExhausted
from lepton_ai.mesh.errors import from_rpc_error, from_status
from lepton_ai.pipeline import Pipeline
from lepton_ai.testing.eventually import eventually
from lepton_ai.v1 import common_pb2, preprocess_pb2
from tests.integration.preprocess.serving import Served, Stream, photo, preprocess_service
from tests.photos import imagenet_photos

EFFICIENTNET = Pipeline.load(
    {
        "inputs": {"photo": "image"},
        "steps": [
            {"op": "decode_image", "input": "photo"},
            {"op": "resize", "size": [256, 256], "filter": "bicubic"},
            {"op": "center_crop", "size": [224, 224]},
            {"op": "to_tensor", "output": "image", "dtype": "UINT8", "layout": "HWC"},
        ],
    }
)
NUMBERS = Pipeline.load({"inputs": {"x": "number"}, "steps": [{"op": "concat", "on": ["x"], "output": "row"}]})


def number(value: float) -> common_pb2.Item:
    return common_pb2.Item(inputs={"x": common_pb2.Value(number=value)})


def error_of(result: preprocess_pb2.ItemResult) -> LeptonError:
    assert result.HasField("error")
    return from_status(result.error)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with preprocess_service() as served:
        yield served


@pytest.fixture(params=["messages", "memory"])
async def stream(request: pytest.FixtureRequest, served: Served) -> Stream:
    """A stream on which large tensors come inside messages, or through memory."""
    stream = Stream(served.stub)
    if request.param == "memory":
        await stream.open_memory()
    return stream


class Gate:
    """Holds worker threads inside an operation until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._open = threading.Event()
        self.held = 0
        run = Pipeline.run

        def gated(pipeline: Pipeline, *args: object, **kwargs: object) -> object:
            self.held += 1
            assert self._open.wait(timeout=30)
            return run(pipeline, *args, **kwargs)  # type: ignore[arg-type]

        monkeypatch.setattr(Pipeline, "run", gated)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
async def gate(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open()


async def test_every_photo_comes_back_as_the_tensor_that_running_it_here_gives(stream: Stream) -> None:
    photos = [path.read_bytes() for path in imagenet_photos()]
    await stream.define(EFFICIENTNET)
    await stream.send(EFFICIENTNET.digest, {index: photo(data) for index, data in enumerate(photos)})

    results = await stream.finish()

    assert len(results) == 20
    for index, data in enumerate(photos):
        (tensor,) = results[index].tensors.tensors
        assert tensor.name == "image"
        expected = EFFICIENTNET.run({"photo": data}).tensors["image"]
        np.testing.assert_array_equal(tensors.from_proto(tensor), expected)
        assert results[index].duration_us > 0
    assert len(stream.leases) == (0 if stream.memory is None else 20)


async def test_thousands_of_items_are_each_answered_once_with_their_own_row(stream: Stream) -> None:
    await stream.define(NUMBERS)
    for start in range(0, 2000, 100):
        await stream.send(NUMBERS.digest, {index: number(index) for index in range(start, start + 100)})

    results = await stream.finish()

    rows = {index: tensors.from_proto(result.tensors.tensors[0]).tolist() for index, result in results.items()}
    assert rows == {index: [float(index)] for index in range(2000)}


async def test_results_that_are_ready_together_share_messages(served: Served) -> None:
    stream = Stream(served.stub)
    await stream.define(NUMBERS)
    for start in range(0, 2000, 500):
        await stream.send(NUMBERS.digest, {index: number(index) for index in range(start, start + 500)})

    await stream.finish()

    assert sum(stream.message_sizes) == 2000
    assert len(stream.message_sizes) < 1000


async def test_a_lone_item_is_answered_while_the_stream_stays_open(served: Served) -> None:
    stream = Stream(served.stub)
    await stream.define(NUMBERS)
    await stream.send(NUMBERS.digest, {7: number(1.5)})

    results = await asyncio.wait_for(stream.read(1), timeout=5)

    assert tensors.from_proto(results[7].tensors.tensors[0]).tolist() == [1.5]


async def test_a_bad_item_fails_alone_with_the_field_and_what_to_do(stream: Stream) -> None:
    good = imagenet_photos()[0].read_bytes()
    await stream.define(EFFICIENTNET)
    await stream.send(EFFICIENTNET.digest, {1: photo(good), 2: photo(b"not an image"), 3: photo(good)})

    results = await stream.finish()

    assert results[1].HasField("tensors") and results[3].HasField("tensors")
    error = error_of(results[2])
    assert isinstance(error, InvalidInput)
    assert (error.reason, error.fields[0].field) == ("NOT_AN_IMAGE", "inputs.photo")
    assert error.fix


async def test_items_of_several_pipelines_share_a_stream(stream: Stream) -> None:
    await stream.define(NUMBERS)
    await stream.define(EFFICIENTNET)
    await stream.send(EFFICIENTNET.digest, {1: photo(imagenet_photos()[0].read_bytes())})
    await stream.send(NUMBERS.digest, {2: number(2)})

    results = await stream.finish()

    assert results[1].tensors.tensors[0].name == "image"
    assert results[2].tensors.tensors[0].name == "row"


async def test_a_pipeline_must_be_defined_on_the_stream_that_names_it(served: Served) -> None:
    other = Stream(served.stub)
    await other.define(NUMBERS)
    await other.send(NUMBERS.digest, {1: number(1)})
    await other.read(1)

    stream = Stream(served.stub)
    await stream.send(NUMBERS.digest, {1: number(1)})

    error = error_of((await stream.finish())[1])
    assert isinstance(error, FailedPrecondition)
    assert error.reason == "PIPELINE_UNKNOWN"


async def test_an_invalid_pipeline_is_reported_and_fails_its_items_and_no_others(served: Served) -> None:
    bad = preprocess_pb2.Pipeline(
        digest="ab" * 32, document_json='{"inputs":{"photo":"image"},"steps":[{"op":"decode_imag"}]}'
    )
    stream = Stream(served.stub)
    await stream.define(bad)
    await stream.define(NUMBERS)
    await stream.send(bad.digest, {1: number(1)})
    await stream.send(NUMBERS.digest, {2: number(2)})

    results = await stream.finish()

    (report,) = stream.pipeline_errors
    assert report.pipeline_digest == bad.digest
    assert from_status(report.error).fields[0].field == "steps[0].op"
    assert error_of(results[1]).message == from_status(report.error).message
    assert results[2].HasField("tensors")


async def test_a_pipeline_under_a_wrong_digest_is_refused_also_when_another_one_is_known_by_it(served: Served) -> None:
    stream = Stream(served.stub)
    await stream.define(NUMBERS)
    forged = EFFICIENTNET.to_proto()
    forged.digest = NUMBERS.digest
    await stream.define(forged)

    report = await stream.read_pipeline_error()

    assert from_status(report.error).reason == "DIGEST_MISMATCH"
    await stream.send(NUMBERS.digest, {1: number(1)})
    assert (await stream.finish())[1].HasField("tensors")


async def test_an_id_that_is_in_flight_may_not_be_used_again(gate: Gate, served: Served) -> None:
    stream = Stream(served.stub)
    await stream.define(NUMBERS)
    await stream.send(NUMBERS.digest, {1: number(1)})
    await eventually(lambda: gate.held, description="the item is being worked on")
    await stream.send(NUMBERS.digest, {1: number(2)})

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stream.finish()

    gate.open()
    assert from_rpc_error(raised.value).reason == "DUPLICATE_ID"


class TestWithAllWorkersBusy:
    """One worker, held inside an item; the rest waits."""

    @pytest.fixture
    async def busy(self, gate: Gate) -> AsyncIterator[tuple[Served, Stream]]:
        async with preprocess_service(threads=1, max_queue_items=3) as served:
            stream = Stream(served.stub)
            await stream.define(NUMBERS)
            await stream.send(NUMBERS.digest, {0: number(0)})
            await eventually(lambda: gate.held == 1, description="the worker holds item 0")
            yield served, stream
            gate.open()

    async def test_an_item_whose_time_runs_out_in_the_queue_is_not_worked_on(
        self, busy: tuple[Served, Stream], gate: Gate
    ) -> None:
        served, stream = busy
        await stream.send(NUMBERS.digest, {1: number(1)}, timeout_us=1)
        await stream.send(NUMBERS.digest, {2: number(2)})
        await eventually(lambda: served.workers.waiting_items == 2, description="two items wait")
        gate.open()

        results = await stream.finish()

        error = error_of(results[1])
        assert isinstance(error, DeadlineExceeded)
        assert error.reason == "EXPIRED_IN_QUEUE"
        assert results[0].HasField("tensors") and results[2].HasField("tensors")
        assert gate.held == 2

    async def test_what_does_not_fit_into_the_queue_is_refused_at_once_with_a_delay_to_retry(
        self, busy: tuple[Served, Stream], gate: Gate
    ) -> None:
        _, stream = busy
        await stream.send(NUMBERS.digest, {index: number(index) for index in range(1, 6)})

        refused = await stream.read(2)

        assert set(refused) == {4, 5}
        error = error_of(refused[4])
        assert isinstance(error, ResourceExhausted)
        assert error.retry_after_s is not None and error.retry_after_s > 0
        gate.open()
        assert set(await stream.finish()) == {0, 1, 2, 3}

    async def test_cancelled_items_are_dropped_without_an_answer_and_make_room(
        self, busy: tuple[Served, Stream], gate: Gate
    ) -> None:
        served, stream = busy
        await stream.send(NUMBERS.digest, {1: number(1), 2: number(2), 3: number(3)})
        await stream.cancel(1, 2, 99)
        await eventually(lambda: served.workers.waiting_items == 1, description="only item 3 waits")
        await stream.send(NUMBERS.digest, {4: number(4)})
        gate.open()

        assert set(await stream.finish()) == {0, 3, 4}

    async def test_items_of_a_client_that_went_away_are_dropped(self, busy: tuple[Served, Stream], gate: Gate) -> None:
        served, stream = busy
        await stream.send(NUMBERS.digest, {1: number(1), 2: number(2)})
        await eventually(lambda: served.workers.waiting_items == 2, description="two items wait")

        stream.call.cancel()

        await eventually(lambda: served.workers.waiting_items == 0, description="nothing waits")
        gate.open()
        fresh = Stream(served.stub)
        await fresh.define(NUMBERS)
        await fresh.send(NUMBERS.digest, {1: number(5)})
        assert (await fresh.finish())[1].HasField("tensors")

    async def test_a_drain_answers_everything_in_flight_and_then_ends_the_stream(
        self, busy: tuple[Served, Stream], gate: Gate
    ) -> None:
        served, stream = busy
        await stream.send(NUMBERS.digest, {1: number(1), 2: number(2)})
        await eventually(lambda: served.workers.waiting_items == 2, description="two items wait")
        drain = asyncio.create_task(served.server.drain())
        await eventually(served.server.draining.is_set, description="the server drains")
        gate.open()

        results = await stream.rest()

        assert set(results) == {0, 1, 2}
        assert await stream.call.code() is grpc.StatusCode.OK
        await drain


async def test_too_many_items_in_a_message_are_refused_one_by_one() -> None:
    async with preprocess_service(max_batch_items=2) as served:
        stream = Stream(served.stub)
        await stream.define(NUMBERS)
        await stream.send(NUMBERS.digest, {1: number(1), 2: number(2), 3: number(3)})

        results = await stream.finish()

        assert error_of(results[3]).reason == "BATCH_TOO_LARGE"
        assert results[1].HasField("tensors") and results[2].HasField("tensors")


async def test_a_stream_may_define_only_so_many_pipelines() -> None:
    async with preprocess_service(max_pipelines=1) as served:
        stream = Stream(served.stub)
        await stream.define(NUMBERS)
        await stream.define(NUMBERS)
        await stream.define(EFFICIENTNET)

        report = await stream.read_pipeline_error()

        assert report.pipeline_digest == EFFICIENTNET.digest
        assert from_status(report.error).reason == "TOO_MANY_PIPELINES"
        await stream.finish()
