"""LeptonError ↔ google.rpc.Status: nothing is lost, nothing of the inside gets out, all fits into headers."""

from __future__ import annotations

import asyncio
import base64
from urllib.parse import quote

import grpc
import pytest
from google.rpc import status_pb2

from lepton_ai.errors import (
    ERROR_BY_CODE,
    FieldViolation,
    InternalError,
    InvalidInput,
    LeptonError,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from lepton_ai.mesh.errors import DETAILS_KEY, as_lepton_error, from_rpc_error, from_status, to_status

_EVERY_CLASS = sorted(ERROR_BY_CODE.values(), key=lambda each: each.__name__)


def rpc_error(
    code: grpc.StatusCode, details: str = "", trailing: tuple[tuple[str, bytes], ...] = ()
) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details)


@pytest.mark.parametrize("error_class", _EVERY_CLASS)
def test_every_class_survives_the_way_there_and_back(error_class: type[LeptonError]) -> None:
    sent = error_class(
        "图片坏了",
        reason="BROKEN_PHOTO",
        fix="换一张",
        fields=(FieldViolation("items[0].inputs.照片", "not an image"), FieldViolation("top_k", "is 0")),
        retry_after_s=0.25,
    )
    received = from_status(status_pb2.Status.FromString(to_status(sent).SerializeToString()))
    assert type(received) is error_class
    assert vars(received) == vars(sent)


def test_what_is_absent_stays_absent() -> None:
    received = from_status(to_status(Unavailable("no replica")))
    assert (received.fix, received.fields, received.retry_after_s) == ("", (), None)
    assert received.reason == "UNAVAILABLE"


def test_retry_at_once_is_not_the_same_as_no_word_about_retrying() -> None:
    assert from_status(to_status(Unavailable("busy", retry_after_s=0.0))).retry_after_s == 0.0


@pytest.mark.parametrize(
    "error", [ValueError("/home/me/secret.py"), KeyError("token"), RuntimeError("x"), SystemError()]
)
def test_unknown_exceptions_become_internal_without_their_text(error: Exception) -> None:
    status = to_status(error)
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert b"secret" not in status.SerializeToString()
    assert b"token" not in status.SerializeToString()


def test_timeouts_become_deadline_exceeded() -> None:
    assert as_lepton_error(TimeoutError()).code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert as_lepton_error(asyncio.CancelledError()).code is grpc.StatusCode.CANCELLED


def test_an_ok_status_is_no_error() -> None:
    with pytest.raises(ValueError, match="OK"):
        from_status(status_pb2.Status())


def test_long_chinese_errors_fit_into_headers() -> None:
    fields = tuple(FieldViolation(f"第{number}项", "不对" * 300) for number in range(50))
    status = to_status(InvalidInput("错" * 5000, fix="改" * 5000, fields=fields))
    on_the_wire = len(quote(status.message)) + len(base64.b64encode(status.SerializeToString()))
    assert on_the_wire < 8000
    received = from_status(status)
    assert received.message.endswith("…")
    assert received.fields[-1].description == "and 48 more"


@pytest.mark.parametrize("message", ["No cat", "没有猫。", "file \udc80 is gone"])
def test_the_text_says_what_to_do_for_clients_that_show_nothing_else_and_ours_tell_the_two_apart(message: str) -> None:
    error = NotFound(message, fix="Bring one.")
    status = to_status(error)
    assert status.message == str(error).replace("\udc80", "?")
    received = from_status(status)
    assert (received.message, received.fix) == (message.replace("\udc80", "?"), "Bring one.")


def test_what_to_do_is_left_out_of_a_text_that_has_no_room_for_it() -> None:
    message, fix = "a" * 500, "b" * 500
    status = to_status(NotFound(message, fix=fix))
    assert (status.message, from_status(status).message, from_status(status).fix) == (message, message, fix)


def test_lone_surrogates_do_not_break_the_error() -> None:
    assert from_status(to_status(InvalidInput("file \udc80 is wrong"))).message == "file ? is wrong"


def test_connection_failures_say_what_to_do_and_not_where() -> None:
    error = from_rpc_error(rpc_error(grpc.StatusCode.UNAVAILABLE, "failed to connect to ipv4:10.1.2.3:99"))
    assert isinstance(error, Unavailable)
    assert error.fix
    assert "10.1.2.3" not in str(error)


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2", Unavailable),
        (grpc.StatusCode.UNKNOWN, "Stream removed", Unavailable),
        (grpc.StatusCode.INTERNAL, "Internal error from Core", Unavailable),
        (grpc.StatusCode.UNKNOWN, "Unexpected <class 'KeyError'>", InternalError),
        (grpc.StatusCode.INTERNAL, "boom", InternalError),
    ],
)
def test_a_connection_that_ends_under_a_call_is_no_fault_of_the_other_side(
    code: grpc.StatusCode, details: str, kind: type[LeptonError]
) -> None:
    assert type(from_rpc_error(rpc_error(code, details))) is kind


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (grpc.StatusCode.UNAVAILABLE, "Stream removed (Received RST_STREAM with error code 7 (RST_STREAM))"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!"),
    ],
)
def test_what_grpc_refuses_as_there_are_too_many_calls_is_a_limit_with_a_time_to_come_back(
    code: grpc.StatusCode, details: str
) -> None:
    error = from_rpc_error(rpc_error(code, details))
    assert isinstance(error, ResourceExhausted)
    assert (error.reason, error.retry_after_s) == ("TOO_MANY_CALLS", 0.1)
    assert "fewer calls at once" in error.fix


def test_a_stream_that_was_reset_for_another_reason_is_no_limit() -> None:
    error = from_rpc_error(rpc_error(grpc.StatusCode.UNAVAILABLE, "Received RST_STREAM with error code 2"))
    assert isinstance(error, Unavailable)


def test_what_another_server_says_about_the_request_is_kept() -> None:
    error = from_rpc_error(rpc_error(grpc.StatusCode.INVALID_ARGUMENT, "expected 3 dimensions"))
    assert isinstance(error, InvalidInput)
    assert error.message == "expected 3 dimensions"


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_code_has_a_class(code: grpc.StatusCode) -> None:
    error = from_rpc_error(rpc_error(code))
    assert error.message
    assert error.code is code or code in {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.CANCELLED,
    }


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"", b"\x08\x00"])
def test_details_that_are_not_ours_are_passed_over(garbage: bytes) -> None:
    error = from_rpc_error(rpc_error(grpc.StatusCode.INTERNAL, "boom", ((DETAILS_KEY, garbage),)))
    assert type(error) is InternalError
    assert "boom" not in str(error)


def test_a_call_that_a_stopping_server_dropped_may_be_tried_again() -> None:
    """Cancelling a call of one's own raises asyncio.CancelledError, so this one comes from the other side."""
    error = from_rpc_error(rpc_error(grpc.StatusCode.CANCELLED))
    assert error.code is grpc.StatusCode.UNAVAILABLE
    assert error.fix
