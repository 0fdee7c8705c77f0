"""Errors over a real connection: every class arrives as itself, in every shape, and the inside stays inside."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from lepton_ai.errors import (
    ERROR_BY_CODE,
    DeadlineExceeded,
    FieldViolation,
    InternalError,
    InvalidInput,
    LeptonError,
    NotFound,
    ResourceExhausted,
    Unavailable,
    Unsupported,
)
from lepton_ai.mesh.errors import DETAILS_KEY, from_rpc_error
from lepton_ai.testing import quick_settings, running
from tests.integration.mesh.echo import SERVICE, SHAPES, Act, Echo, EchoStub, add_echo, repeat


def failing(error: BaseException) -> Act:
    async def act(text: str) -> str:
        raise error

    return act


async def error_of(act: Act, shape: str = "UnaryUnary", text: str = "a") -> LeptonError:
    async with running((add_echo, Echo(act), SERVICE)) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await EchoStub(served.channel).send(shape, text)
        return from_rpc_error(caught.value)


@pytest.mark.parametrize("error_class", ERROR_BY_CODE.values())
async def test_every_class_arrives_as_it_was_raised(error_class: type[LeptonError]) -> None:
    sent = error_class(
        "没有这张图片",
        reason="NO_PHOTO",
        fix="换一张\nretry",
        fields=(FieldViolation("items[0].inputs.照片", "is missing"),),
        retry_after_s=1.5,
    )
    received = await error_of(failing(sent))
    assert type(received) is error_class
    assert vars(received) == vars(sent)


@pytest.mark.parametrize("shape", SHAPES)
async def test_errors_arrive_from_every_shape(shape: str) -> None:
    received = await error_of(failing(NotFound("no model 'cat'", fix="push it")), shape)
    assert isinstance(received, NotFound)
    assert received.fix == "push it"


@pytest.mark.parametrize("shape", ["UnaryStream", "StreamStream"])
async def test_answers_before_an_error_in_mid_stream_arrive(shape: str) -> None:
    async def act(text: str) -> str:
        if text == "!":
            raise InvalidInput.of_field("text", "is an exclamation mark")
        return text

    async with running((add_echo, Echo(act), SERVICE)) as served:
        stub = EchoStub(served.channel)
        whole, letters = StringValue(value="ab!c"), iter([StringValue(value=each) for each in "ab!c"])
        call = stub.UnaryStream(whole) if shape == "UnaryStream" else stub.StreamStream(letters)
        answers: list[str] = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for answer in call:
                answers.append(answer.value)  # noqa: PERF401 - what came before the error counts
    assert answers == ["a", "b"]
    assert from_rpc_error(caught.value).fields == (FieldViolation("text", "is an exclamation mark"),)


@pytest.mark.parametrize("shape", SHAPES)
async def test_unknown_exceptions_are_internal_without_their_text_and_logged_once(
    shape: str, caplog: pytest.LogCaptureFixture
) -> None:
    received = await error_of(failing(ValueError("/home/me/secret")), shape)
    assert type(received) is InternalError
    assert "secret" not in f"{vars(received)}"
    faults = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(faults) == 1
    assert faults[0].exc_info is not None
    assert "secret" in str(faults[0].exc_info[1])


async def test_errors_of_callers_cost_no_log_line(caplog: pytest.LogCaptureFixture) -> None:
    await error_of(failing(InvalidInput("wrong")))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("shape", SHAPES)
async def test_requests_that_do_not_parse_are_invalid_input(shape: str) -> None:
    async with running((add_echo, Echo(), SERVICE)) as served:
        channel: Any = served.channel
        path, raw = f"/{SERVICE}/{shape}", b"\xff\xff\xff"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            match shape:
                case "UnaryUnary":
                    await channel.unary_unary(path)(raw)
                case "StreamUnary":
                    await channel.stream_unary(path)(iter([raw]))
                case "UnaryStream":
                    await channel.unary_stream(path)(raw).read()
                case _:
                    await channel.stream_stream(path)(iter([raw])).read()
    assert from_rpc_error(caught.value).reason == "UNDECODABLE_REQUEST"


async def test_answers_that_cannot_be_encoded_are_internal() -> None:
    class Broken(Echo):
        async def unary_unary(self, request: object, context: object) -> None:  # type: ignore[override]
            return None

    async with running((add_echo, Broken(), SERVICE)) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await EchoStub(served.channel).send("UnaryUnary", "a")
    assert caught.value.code() is grpc.StatusCode.INTERNAL


async def test_timeouts_of_the_work_are_deadline_exceeded() -> None:
    assert isinstance(await error_of(failing(TimeoutError())), DeadlineExceeded)


async def test_work_that_is_cancelled_from_within_does_not_leave_the_caller_waiting() -> None:
    assert isinstance(await asyncio.wait_for(error_of(failing(asyncio.CancelledError())), 5), Unavailable)


async def test_a_failed_call_to_another_server_is_passed_on_as_what_it_means() -> None:
    inner = grpc.aio.AioRpcError(grpc.StatusCode.UNKNOWN, grpc.aio.Metadata(), grpc.aio.Metadata(), "boom at 10.0.0.1")
    received = await error_of(failing(inner))
    assert type(received) is InternalError
    assert "10.0.0.1" not in str(received)


async def test_handlers_may_abort_by_themselves() -> None:
    class Aborting(Echo):
        async def unary_unary(self, request: object, context: grpc.aio.ServicerContext) -> None:  # type: ignore
            await context.abort(grpc.StatusCode.OUT_OF_RANGE, "past the end")

    async with running((add_echo, Aborting(), SERVICE)) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await EchoStub(served.channel).send("UnaryUnary", "a")
    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
    assert caught.value.details() == "past the end"


async def test_errors_with_long_chinese_texts_arrive() -> None:
    fields = tuple(FieldViolation(f"第{number}项", "不对" * 300) for number in range(50))
    received = await error_of(failing(InvalidInput("错" * 5000, fix="改" * 5000, fields=fields)))
    assert isinstance(received, InvalidInput)
    assert received.message.startswith("错错")


async def test_unknown_methods_are_unsupported() -> None:
    async with running() as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await EchoStub(served.channel).send("UnaryUnary", "a")
    assert isinstance(from_rpc_error(caught.value), Unsupported)


async def test_nobody_listening_is_unavailable_with_a_fix_and_no_address() -> None:
    async with running() as served:
        address = served.address
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await EchoStub(channel).send("UnaryUnary", "a", timeout=5)
    error = from_rpc_error(caught.value)
    assert isinstance(error, Unavailable)
    assert error.fix
    assert address.split(":")[1] not in str(error)


async def test_too_many_calls_at_once_are_refused_while_health_is_still_answered() -> None:
    hold = asyncio.Event()

    async def act(text: str) -> str:
        await hold.wait()
        return text

    settings = quick_settings(max_concurrent_rpcs=2)
    async with running((add_echo, Echo(act), SERVICE), settings=settings) as served:
        stub = EchoStub(served.channel)
        calls = [asyncio.ensure_future(stub.send("UnaryUnary", "a")) for _ in range(3)]
        refused, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        error = refused.pop().exception()
        assert isinstance(error, grpc.aio.AioRpcError)
        known = from_rpc_error(error)
        assert isinstance(known, ResourceExhausted)
        assert known.retry_after_s == 0.1
        hold.set()
        assert [result for result in await asyncio.gather(*calls, return_exceptions=True) if result == "a"] == [
            "a",
            "a",
        ]


async def test_messages_over_the_limit_are_refused() -> None:
    settings = quick_settings(max_message_bytes=2048)
    async with running((add_echo, Echo(repeat), SERVICE), settings=settings) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await EchoStub(served.channel).send("UnaryUnary", "a" * 4096)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await EchoStub(served.channel).send("UnaryUnary", "a" * 1024) == "a" * 1024


# A client that streams its requests may notice the end of the call only when it sends the next one.
@pytest.mark.parametrize("shape", ["UnaryUnary", "UnaryStream"])
@pytest.mark.parametrize("packing", [grpc.Compression.Gzip, grpc.Compression.Deflate], ids=["gzip", "deflate"])
async def test_packed_messages_are_refused_and_not_unpacked(shape: str, packing: grpc.Compression) -> None:
    async with running((add_echo, Echo(repeat), SERVICE)) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await EchoStub(served.channel).send(shape, "a" * 200, compression=packing)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert packing.name.lower() in (caught.value.details() or "")
        assert await EchoStub(served.channel).send(shape, "ab") == "ab"


async def test_calls_without_a_deadline_get_the_servers() -> None:
    async def act(text: str) -> str:
        await asyncio.Event().wait()
        return text

    settings = quick_settings(default_timeout_s=0.1)
    async with running((add_echo, Echo(act), SERVICE), settings=settings) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await EchoStub(served.channel).send("UnaryUnary", "a")
    error = from_rpc_error(caught.value)
    assert isinstance(error, DeadlineExceeded)
    assert "0.1 s" in error.message
    assert any(key == DETAILS_KEY for key, _ in caught.value.trailing_metadata())
