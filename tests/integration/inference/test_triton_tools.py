"""What Triton's tools ask, in their order: perf_analyzer's and Model Analyzer's calls, by NVIDIA's own client."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from lepton_ai.mesh.tracing.context import TRACEPARENT
from lepton_ai.testing import captured_spans, eventually
from tests.integration.inference.served_colours import ServedColours, served_colours
from tests.integration.inference.test_open_inference import infer_request, photos, pictures, wanted
from tests.unit.inference.colours import COLOURS, GREEN, RED


@pytest.fixture
async def served() -> AsyncIterator[ServedColours]:
    async with served_colours() as served:
        yield served


@pytest.fixture
async def client(served: ServedColours) -> AsyncIterator[Any]:
    client = tritonclient.grpc.aio.InferenceServerClient(served.address)
    yield client
    await client.close()


async def test_the_calls_of_perf_analyzer_in_their_order(client: Any) -> None:
    assert await client.is_server_live()
    assert await client.is_server_ready()
    extensions = (await client.get_server_metadata()).extensions
    assert "statistics" in extensions, "perf_analyzer reads the server's side of the times only then"
    assert "model_repository" not in extensions
    metadata = await client.get_model_metadata("colours", "2")
    config = (await client.get_model_config("colours", "2")).config
    assert config.max_batch_size == 4
    (needed,) = [each for each in config.input if not each.optional]
    (tensor,) = [each for each in metadata.inputs if each.name == needed.name]
    assert list(tensor.shape) == [-1, *needed.dims]
    before = (await client.get_inference_statistics("colours", "2")).model_stats[0]
    for _ in range(3):
        outputs = wanted(*(each.name for each in metadata.outputs))
        await client.infer("colours", [pictures((9, 9, 9), (1, 1, 1))], model_version="2", outputs=outputs)
    after = (await client.get_inference_statistics("colours", "2")).model_stats[0]
    assert after.inference_count - before.inference_count == 6
    assert after.execution_count - before.execution_count == 3
    assert after.inference_stats.success.count - before.inference_stats.success.count == 3
    assert after.inference_stats.success.ns > before.inference_stats.success.ns


async def test_the_configuration_has_the_shapes_of_a_row(client: Any) -> None:
    config = (await client.get_model_config("colours")).config
    assert [(each.name, list(each.dims), each.optional) for each in config.input] == [
        ("image", [8, 8, 3], False),
        ("photo", [1], True),
    ]
    outputs = {each.name: list(each.dims) for each in config.output}
    assert outputs == {"logits": [3], "labels": [-1], "scores": [-1]}
    assert list(config.version_policy.specific.versions) == [1, 2]
    assert [group.count for group in config.instance_group] == [1]
    assert config.HasField("dynamic_batching")
    assert not config.model_transaction_policy.decoupled
    as_json = await client.get_model_config("colours", as_json=True)
    assert as_json["config"]["input"][0]["data_type"] == "TYPE_UINT8"


async def test_statistics_count_requests_rows_batches_and_failures_of_each_version(client: Any) -> None:
    await client.infer("colours", [photos(RED, GREEN)], outputs=wanted("labels"))
    with pytest.raises(InferenceServerException):
        await client.infer("colours", [photos(b"not an image")])
    await client.infer("colours", [pictures((1, 1, 1))], model_version="canary")
    stats = {each.version: each for each in (await client.get_inference_statistics()).model_stats}
    assert sorted(stats) == ["1", "2"]
    assert stats["1"].inference_count == 1
    newest = stats["2"]
    assert (newest.name, newest.inference_count) == ("colours", 2)
    seen = newest.inference_stats
    assert (seen.success.count, seen.fail.count) == (1, 1)
    assert 0 < seen.compute_infer.ns < seen.success.ns
    assert seen.queue.count == seen.compute_infer.count == seen.compute_output.count == 1
    assert sum(each.compute_infer.count for each in newest.batch_stats) == newest.execution_count > 0
    assert newest.last_inference > 1_700_000_000_000
    (of_alias,) = (await client.get_inference_statistics("colours", "canary")).model_stats
    assert of_alias.version == "1"


@pytest.mark.parametrize("name", ["get_inference_statistics", "get_model_config"])
async def test_what_is_not_deployed_has_neither_configuration_nor_statistics(client: Any, name: str) -> None:
    with pytest.raises(InferenceServerException) as failure:
        await getattr(client, name)("absent")
    assert failure.value.status() == "StatusCode.NOT_FOUND"


async def test_the_index_lists_every_version_with_its_state(served: ServedColours, client: Any) -> None:
    index = (await client.get_model_repository_index()).models
    assert [(each.name, each.version, each.state, each.reason) for each in index] == [
        ("colours", "1", "READY", ""),
        ("colours", "2", "READY", ""),
        ("colours", "9", "LOADING", "is being loaded"),
    ]
    stub = service_pb2_grpc.GRPCInferenceServiceStub(served.channel)
    ready = await stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(ready=True))
    assert [each.version for each in ready.models] == ["1", "2"]
    with pytest.raises(grpc.aio.AioRpcError, match="no repositories"):
        await stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(repository_name="mine"))


async def test_a_stream_of_the_blocking_client_answers_in_order_by_id(served: ServedColours) -> None:
    served.plane.triton.compute_s = 0.01

    def stream() -> list[tuple[str, Any]]:
        answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        with tritonclient.grpc.InferenceServerClient(served.address) as client:
            client.start_stream(lambda result, error: answers.put((result, error)))
            for number in range(20):
                value = (16, 0, 0) if number % 2 else (0, 16, 0)
                client.async_stream_infer(
                    "colours", [pictures(value)], request_id=str(number), enable_empty_final_response=True
                )
            client.async_stream_infer("absent", [pictures((0, 0, 0))], request_id="20")
            client.async_stream_infer("colours", [photos(GREEN)], outputs=wanted("labels"), request_id="21")
            heard = [answers.get(timeout=20) for _ in range(22)]
            client.stop_stream()
        return [("" if error is None else str(error), result) for result, error in heard]

    heard = await asyncio.to_thread(stream)
    for number, (error, result) in enumerate(heard[:20]):
        response = result.get_response()
        assert (error, response.id) == ("", str(number))
        assert response.parameters["triton_final_response"].bool_param
        assert int(result.as_numpy("logits").argmax()) == (0 if number % 2 else 1)
    assert "not deployed" in heard[20][0]
    assert heard[21][1].as_numpy("labels")[0][0].decode() == COLOURS[1]


async def test_a_stream_of_the_asyncio_client_outlives_failures(client: Any) -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for name in ("colours", "absent", "colours"):
            yield {"model_name": name, "inputs": [pictures((16, 0, 0))], "request_id": name}

    heard = [(result, error) async for result, error in client.stream_infer(requests())]
    assert [error is None for _, error in heard] == [True, False, True]


async def test_the_failure_of_a_stream_has_the_id_of_its_request(served: ServedColours) -> None:
    call = service_pb2_grpc.GRPCInferenceServiceStub(served.channel).ModelStreamInfer()
    await call.write(infer_request(model_name="absent", id="mine"))
    answer = await call.read()
    assert answer.infer_response.id == "mine"
    assert "absent" in answer.error_message
    call.cancel()


@pytest.mark.parametrize("transport", ["aio", "blocking"])
async def test_the_first_failure_ends_a_stream_with_its_status_where_the_client_asks_for_that(
    served: ServedColours, transport: str
) -> None:
    names = ("colours", "colours", "absent", "colours")
    headers = {"triton_grpc_error": "true"}
    if transport == "aio":
        heard, status = await _stream_of_asyncio(served.address, names, headers)
    else:
        heard, status = await asyncio.to_thread(_stream_of_threads, served.address, names, headers)
    assert heard == 2, "what came before is answered, what came after is not"
    assert status == "StatusCode.NOT_FOUND"


async def _stream_of_asyncio(address: str, names: Sequence[str], headers: dict[str, str]) -> tuple[int, str]:
    client = tritonclient.grpc.aio.InferenceServerClient(address)

    async def requests() -> AsyncIterator[dict[str, Any]]:
        for name in names:
            yield {"model_name": name, "inputs": [pictures((16, 0, 0))]}

    heard = 0
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        async for _, error in client.stream_infer(requests(), headers=headers):
            assert error is None
            heard += 1
    await client.close()
    return heard, str(failure.value.code())


def _stream_of_threads(address: str, names: Sequence[str], headers: dict[str, str]) -> tuple[int, str]:
    heard: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(address) as client:
        client.start_stream(lambda result, error: heard.put((result, error)), headers=headers)
        for name in names:
            client.async_stream_infer(name, [pictures((16, 0, 0))])
        answers = 0
        while (error := heard.get(timeout=10)[1]) is None:
            answers += 1
        client.stop_stream(cancel_requests=True)
    return answers, error.status()


async def test_a_stream_is_bounded_ends_with_the_server_and_stops_its_work_when_left() -> None:
    async with served_colours(max_in_flight=4) as served:
        served.plane.triton.compute_s = 0.01
        stub = service_pb2_grpc.GRPCInferenceServiceStub(served.channel)
        call = stub.ModelStreamInfer()
        for number in range(30):
            await call.write(infer_request(id=str(number)))
        await call.done_writing()
        assert [answer.infer_response.id async for answer in call] == [str(number) for number in range(30)]
        assert max(request.inputs[0].shape[0] for request in served.plane.triton.requests) <= 4
        served.plane.triton.compute_s = 0.2
        asked = len(served.plane.triton.requests)
        call = stub.ModelStreamInfer()
        await call.write(infer_request(id="in flight"))
        await eventually(lambda: len(served.plane.triton.requests) > asked, description="it is being worked on")
        served.draining.set()
        assert [answer.infer_response.id async for answer in call] == ["in flight"]
        assert await call.code() is grpc.StatusCode.OK


async def test_a_client_that_leaves_a_stream_stops_its_work(served: ServedColours) -> None:
    served.plane.triton.compute_s = 30.0
    call = service_pb2_grpc.GRPCInferenceServiceStub(served.channel).ModelStreamInfer()
    await call.write(infer_request(id="given up"))
    await eventually(lambda: served.plane.triton.requests, description="it is being worked on")
    call.cancel()
    loaded = served.plane.routes.models()[0].serving[2]
    async with asyncio.timeout(5):
        await loaded.idle()
    assert loaded.statistics.fail.count == 1


async def test_requests_of_a_traced_stream_have_spans_in_its_trace() -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    with captured_spans("inference", ratio=0.0) as captured:
        async with served_colours(tracing=captured.tracing) as served:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(served.channel)
            metadata = ((TRACEPARENT, f"00-{trace_id}-b7ad6b7169203331-01"),)
            for traced in (metadata, None):
                call = stub.ModelStreamInfer(iter([infer_request(), infer_request()]), metadata=traced)
                assert len([answer async for answer in call]) == 2
            spans = captured.named("inference.GRPCInferenceService/ModelStreamInfer")
            assert [(f"{span.context.trace_id:032x}", span.kind.name) for span in spans] == [(trace_id, "SERVER")] * 2
