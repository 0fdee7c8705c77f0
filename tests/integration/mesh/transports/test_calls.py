"""Calls in all their shapes, and all that travels beside their messages, are the same on each transport."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from lepton_ai.errors import InvalidInput, NotFound
from lepton_ai.mesh.calling.callers import caller_of
from lepton_ai.mesh.calling.pool import channel_options
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.mesh.load import LOAD_KEY, Load
from lepton_ai.mesh.tracing import TRACE_ID_TRAILER
from tests.integration.mesh.echo import SERVICE, SHAPES
from tests.integration.mesh.transports.conftest import ProbeClient, ProbeProcess, probe_process
from tests.integration.mesh.transports.raw_http2 import RawClient

_MB = 1 << 20


async def refusal_of(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "UnaryStream"])
async def test_messages_come_back(client: ProbeClient, shape: str) -> None:
    assert await client.send(shape, "abc", timeout=5) == "abc"


async def test_a_stream_of_answers_is_complete_and_in_order(client: ProbeClient) -> None:
    answers = [answer.value async for answer in client.UnaryStream(StringValue(value="1000 70"), timeout=5)]
    assert answers == ["x" * 70] * 1000


async def test_a_stream_answers_each_request_before_the_next_is_sent(client: ProbeClient) -> None:
    call: Any = client.StreamStream(timeout=5)
    for text in ("a", "b", "c"):
        await call.write(StringValue(value=text))
        assert (await call.read()).value == text
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("text", ["abc", "fail"])
async def test_the_load_is_told_to_who_asks_whatever_the_answer(client: ProbeClient, text: str) -> None:
    call: Any = client.UnaryUnary(StringValue(value=text), timeout=5, metadata=((LOAD_KEY, "?"),))
    load = Load.parse(dict(await call.trailing_metadata())[LOAD_KEY])
    assert load is not None
    assert load.in_flight >= 1


async def test_streams_without_messages_end_well(client: ProbeClient) -> None:
    assert await client.send("StreamStream", "", timeout=5) == ""
    assert await client.send("StreamUnary", "", timeout=5) == ""


def test_the_blocking_client_is_served(probe: ProbeProcess) -> None:
    with grpc.insecure_channel(probe.address) as channel:
        echo = channel.unary_unary(
            f"/{SERVICE}/UnaryUnary",
            request_serializer=StringValue.SerializeToString,
            response_deserializer=StringValue.FromString,
        )
        assert echo(StringValue(value="a"), timeout=5).value == "a"


async def test_health_is_checked_and_watched(channel: grpc.aio.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=SERVICE)
    watch = stub.Watch(request)
    assert (await asyncio.wait_for(watch.read(), 5)).status == health_pb2.HealthCheckResponse.SERVING
    assert (await stub.Check(request, timeout=5)).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


async def test_reflection_lists_the_services(channel: grpc.aio.Channel) -> None:
    untyped: Any = reflection_pb2_grpc.ServerReflectionStub
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    [listed] = [each async for each in untyped(channel).ServerReflectionInfo(iter([request]), timeout=5)]
    assert SERVICE in {each.name for each in listed.list_services_response.service}


async def test_which_service_calls_is_known_on_each_transport(probe: ProbeProcess, client: ProbeClient) -> None:
    options = channel_options(_MB, caller="health")
    async with grpc.aio.insecure_channel(probe.address, options=options) as channel:
        told = json.loads(await ProbeClient(channel).send("UnaryUnary", "metadata", timeout=5))
    assert caller_of(told.items()) == "health"
    assert caller_of(json.loads(await client.send("UnaryUnary", "metadata", timeout=5)).items()) == "client"


async def test_metadata_travels_both_ways_as_text_and_bytes(client: ProbeClient) -> None:
    sent = (("plain", "words"), ("raw-bin", bytes(range(256))), ("lepton-request-id", "7"))
    call = client.UnaryUnary(StringValue(value="metadata"), metadata=sent, timeout=5)
    seen = json.loads((await call).value)
    assert (seen["plain"], seen["raw-bin"], seen["lepton-request-id"]) == ("words", list(range(256)), "7")
    assert 4 < seen["remaining_s"] < 5.1  # gRPC's clients round it up to three digits
    assert seen["peer"].startswith("ipv4:127.0.0.1:")
    assert not {"te", "content-type", "grpc-timeout", "host", "x-lepton-call"} & seen.keys()
    first, last = dict(await call.initial_metadata()), dict(await call.trailing_metadata())
    assert (first["first"], first["first-bin"]) == ("words", b"\0\xff")
    assert (last["last"], last["last-bin"]) == ("words", b"\1\xfe")


async def test_a_typed_error_arrives_with_all_its_details(client: ProbeClient) -> None:
    error = from_rpc_error(await refusal_of(client.send("UnaryUnary", "fail", timeout=5)))
    assert isinstance(error, NotFound)
    assert (error.message, error.reason, error.fix) == ("No cat.", "NO_CAT", "Bring one.")
    assert [(each.field, each.description) for each in error.fields] == [("cat", "is away")]


async def test_a_status_text_may_hold_anything(client: ProbeClient) -> None:
    refusal = await refusal_of(client.send("UnaryUnary", "abort", timeout=5))
    assert (refusal.code(), refusal.details()) == (grpc.StatusCode.ABORTED, "ümläute & 100 %\n")


async def test_an_error_of_ours_shows_nothing_of_the_inside(client: ProbeClient) -> None:
    refusal = await refusal_of(client.send("UnaryUnary", "raise", timeout=5))
    assert refusal.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(refusal)


async def test_a_stream_that_fails_keeps_what_was_answered_before(client: ProbeClient) -> None:
    call: Any = client.StreamStream(iter([StringValue(value="a"), StringValue(value="fail")]), timeout=5)
    assert (await call.read()).value == "a"
    assert (await refusal_of(call.read())).code() is grpc.StatusCode.NOT_FOUND


async def test_an_unknown_method_is_unimplemented(channel: grpc.aio.Channel) -> None:
    for path in (f"/{SERVICE}/Nothing", "/pkg.Nobody/UnaryUnary"):
        nothing: Any = channel.unary_unary(path)
        assert (await refusal_of(nothing(b"", timeout=5))).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_bytes_that_are_no_message_are_the_callers_fault(channel: grpc.aio.Channel) -> None:
    raw: Any = channel.unary_unary(f"/{SERVICE}/UnaryUnary")
    refusal = await refusal_of(raw(b"\xff\xff", timeout=5))
    assert isinstance(from_rpc_error(refusal), InvalidInput)


@pytest.mark.parametrize("size", [4 * _MB, 64 * _MB - 16], ids=["4 MB", "64 MB"])
async def test_large_messages_travel_both_ways(client: ProbeClient, size: int) -> None:
    for text in ("y" * size, f"size {size}"):
        assert len((await client.UnaryUnary(StringValue(value=text), timeout=20)).value) == size


@pytest.mark.parametrize("shape", ["UnaryUnary", "UnaryStream"])
async def test_compressed_messages_are_refused(client: ProbeClient, shape: str) -> None:
    call = client.send(shape, "9" * 9, compression=grpc.Compression.Gzip, timeout=5)
    assert (await refusal_of(call)).code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("shape", ["StreamUnary", "StreamStream"])
async def test_streams_of_compressed_messages_are_refused(client: ProbeClient, shape: str) -> None:
    call = getattr(client, shape)(compression=grpc.Compression.Gzip, timeout=5)
    assert await call.code() is grpc.StatusCode.UNIMPLEMENTED  # writing may fail before the refusal is there


async def test_the_deadline_holds_on_the_server_too(probe: ProbeProcess, client: ProbeClient) -> None:
    raw = await RawClient.connect(probe.port)
    before = (await client.state())["cancelled"]
    begin_s = time.monotonic()
    status = await asyncio.wait_for(raw.call("UnaryUnary", "sleep 60", ("grpc-timeout", "200m")), 5)
    assert status.get("grpc-status") == "4" or ":reset" in status  # gRPC's own server resets the call
    assert 0.15 < time.monotonic() - begin_s < 2
    await client.until(asleep=0, cancelled=before + 1)
    await raw.close()


async def test_a_call_that_comes_too_late_does_no_work(probe: ProbeProcess) -> None:
    raw = await RawClient.connect(probe.port)
    status = await asyncio.wait_for(raw.call("UnaryUnary", "a", ("grpc-timeout", "0n")), 5)
    assert status.get("grpc-status") == "4" or ":reset" in status
    await raw.close()


@pytest.mark.parametrize("shape", ["UnaryUnary", "StreamUnary", "StreamStream"])
async def test_a_caller_that_leaves_frees_its_place_at_once(client: ProbeClient, shape: str) -> None:
    before = (await client.state())["cancelled"]
    if shape == "UnaryUnary":
        call: Any = client.UnaryUnary(StringValue(value="sleep 60"))
    else:
        call = getattr(client, shape)(iter([StringValue(value="sleep 60")]))
    await client.until(asleep=1)
    begin_s = time.monotonic()
    call.cancel()
    await client.until(asleep=0, cancelled=before + 1)
    assert time.monotonic() - begin_s < 1


async def test_a_caller_that_gives_its_call_names_of_its_own_frees_its_place_too(
    probe: ProbeProcess, client: ProbeClient
) -> None:
    before = (await client.state())["cancelled"]
    raw = await RawClient.connect(probe.port)
    names = [("x-lepton-call", "mine"), ("x-lepton-call", "yours"), ("x-request-id", "ours")]
    calls = [raw.begin("UnaryUnary", *names) for _ in range(3)]
    for call in calls:
        raw.send(call, "sleep 60")
    await raw.flush()
    await client.until(asleep=3)
    for call in calls:
        raw.h2.reset_stream(call)
    await raw.flush()
    await client.until(asleep=0, cancelled=before + 3)
    await raw.close()


async def test_a_connection_that_breaks_frees_the_places_of_all_its_calls(
    probe: ProbeProcess, client: ProbeClient
) -> None:
    before = (await client.state())["cancelled"]
    raw = await RawClient.connect(probe.port)
    for _ in range(20):
        raw.send(raw.begin("UnaryUnary"), "sleep 60")
    await raw.flush()
    await client.until(asleep=20)
    raw.writer.transport.abort()
    await client.until(asleep=0, cancelled=before + 20)


async def test_a_traced_call_names_its_trace(transport: str) -> None:
    with probe_process(transport, trace_ratio=1, otlp_endpoint="127.0.0.1:1") as probe:
        async with grpc.aio.insecure_channel(probe.address) as channel:
            call = ProbeClient(channel).UnaryUnary(StringValue(value="a"), timeout=5)
            await call
            assert len(dict(await call.trailing_metadata())[TRACE_ID_TRAILER]) == 32


async def test_ipv6(transport: str) -> None:
    with probe_process(transport, host="::1") as probe:
        assert probe.address.startswith("[::1]:")
        async with grpc.aio.insecure_channel(probe.address) as channel:
            assert await ProbeClient(channel).send("UnaryUnary", "a", timeout=5) == "a"
