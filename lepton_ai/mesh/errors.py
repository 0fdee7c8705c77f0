"""Carries LeptonErrors over gRPC and back: class ↔ google.rpc.Status ↔ status code, text and trailing metadata.

The details travel in the standard `grpc-status-details-bin` trailer: ErrorInfo (reason, domain "lepton", metadata.fix,
and metadata.retried when it has been tried again already), BadRequest (which field is wrong) and RetryInfo. The text
says what to do, too, as most clients show nothing else; metadata.message_chars tells ours where the message ends. What
is not a LeptonError becomes INTERNAL with a neutral text, so that no internals reach a client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from opentelemetry import trace

from lepton_ai.errors import (
    ERROR_BY_CODE,
    Cancelled,
    DeadlineExceeded,
    FieldViolation,
    InternalError,
    InvalidInput,
    LeptonError,
    ResourceExhausted,
    Unavailable,
)
from lepton_ai.mesh.limits import BUSY_RETRY_AFTER_S
from lepton_ai.mesh.tracing.context import TRACE_ID_TRAILER

DOMAIN = "lepton"
DETAILS_KEY = "grpc-status-details-bin"
WRITE_TOO_LATE = "Internal error from Core"
"""What grpc.aio says, as INTERNAL, of a message of a stream that it was writing when the server ended the stream; what
the server said is lost."""
VERDICT_LOST = "VERDICT_LOST"
"""Reason of the error for that: whoever makes the call again hears the server's own words, nearly always."""

_MAX_TEXT_BYTES = 900
"""Limit for each text in an error. HTTP/2 headers are refused above 8 KiB, which would turn every long error into a
RESOURCE_EXHAUSTED about metadata; the text travels twice, once percent-encoded (×3) and once in base64 (×4/3)."""
_MAX_FIELDS_BYTES = 900

_CODE_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

_FOREIGN_CODES: dict[grpc.StatusCode, type[LeptonError]] = {
    grpc.StatusCode.ABORTED: Unavailable,  # "try the whole thing again" is what Unavailable tells a caller
    grpc.StatusCode.OUT_OF_RANGE: InvalidInput,
    grpc.StatusCode.UNKNOWN: InternalError,
}
"""Codes that other servers may send but Lepton never does."""

_NEUTRAL: dict[type[LeptonError], tuple[str, str]] = {
    Unavailable: (
        "The service cannot be reached.",
        "Check that it is running and that the address is right, then try again.",
    ),
    DeadlineExceeded: ("The call did not finish in the time it was given.", "Allow more time or send less at once."),
    InternalError: ("The other side failed in a way it did not explain.", "Look into its log."),
}
"""Texts for failures that no Lepton server described; the transport's own text would name addresses."""


def to_status(error: BaseException) -> status_pb2.Status:
    """The google.rpc.Status that describes an error to a client, within the size that HTTP/2 headers allow."""
    known = as_lepton_error(error)
    status = status_pb2.Status(code=code_number(known.code), message=_clip(known.message))
    info = error_details_pb2.ErrorInfo(reason=_clip(known.reason), domain=DOMAIN)
    if known.fix:
        info.metadata["fix"] = _clip(known.fix)
        if len(_encoded(str(known))) <= _MAX_TEXT_BYTES:
            info.metadata["message_chars"] = str(len(status.message))
            status.message = _clip(str(known))
    if known.retried:
        info.metadata["retried"] = "true"
    status.details.add().Pack(info)
    if known.fields:
        status.details.add().Pack(_bad_request(known.fields))
    if known.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(max(0, round(known.retry_after_s * 1e9)))
        status.details.add().Pack(retry)
    return status


def from_status(status: status_pb2.Status) -> LeptonError:
    """The LeptonError that a status describes: the class follows the code, the rest the details that are there.

    Raises ValueError for a status that says OK.
    """
    if status.code == 0:
        raise ValueError("a status of OK describes no error")
    return _build(_error_class(_CODE_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)), status)


def from_rpc_error(error: grpc.RpcError) -> LeptonError:
    """The LeptonError for a failed call, with the id of its trace when the server told it.

    Without details from a Lepton server, a neutral text with what to do replaces the transport's own.
    """
    known = _translated(error)
    known.trace_id = _trace_id_of(error)
    return known


def _translated(error: grpc.RpcError) -> LeptonError:
    code = _code_of(error)
    error_class = _error_class(code)
    status = _status_of(error)
    if status is not None:
        return _build(error_class, status)
    if code is grpc.StatusCode.CANCELLED:
        # A call that we cancel ourselves raises asyncio.CancelledError. Here a server has stopped and dropped a call
        # that it had read but not begun.
        return Unavailable("The service ended the call as it was stopping.", reason="STOPPING", fix="Try again.")
    if _over_transport_limit(code, _details_of(error)):
        return _too_many_calls()
    if code is grpc.StatusCode.INTERNAL and _details_of(error) == WRITE_TOO_LATE:
        return Unavailable(
            "The service ended the call before all of it was sent; why was not heard.",
            reason=VERDICT_LOST,
            fix="Try again.",
        )
    if _has_broken(code, _details_of(error)):
        error_class = Unavailable
    neutral = _NEUTRAL.get(error_class)
    if neutral is None:  # the other side judged the request, so its words are meant for the caller
        return error_class(_clip(_details_of(error)) or code.name)
    return error_class(neutral[0], fix=neutral[1])


def as_lepton_error(error: BaseException) -> LeptonError:
    """Every exception as a LeptonError: ours unchanged, what we understand translated, the rest InternalError."""
    if isinstance(error, LeptonError):
        return error
    if isinstance(error, grpc.RpcError):
        return from_rpc_error(error)
    if isinstance(error, TimeoutError):
        return DeadlineExceeded("The work did not finish in time.", fix="Allow more time or send less at once.")
    if isinstance(error, asyncio.CancelledError):
        return Cancelled("The call was cancelled before its answer was ready.")
    return _unexplained()


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: BaseException) -> NoReturn:
    """End the call with this error, keeping trailing metadata that was set before. Raises grpc.aio.AbortError."""
    status = to_status(error)
    trailing = (*(context.trailing_metadata() or ()), (DETAILS_KEY, status.SerializeToString()))
    await context.abort(_CODE_BY_NUMBER[status.code], status.message, trailing)


def _has_broken(code: grpc.StatusCode, details: str) -> bool:
    """Whether the connection ended under the call, of which gRPC core gives no other sign than these texts."""
    is_unexplained = code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
    return is_unexplained and ("RST_STREAM with error code" in details or "Stream removed" in details)


def _over_transport_limit(code: grpc.StatusCode, details: str) -> bool:
    """Whether gRPC itself refused the call, before any handler saw it, as there are too many of them."""
    # gRPC core gives no other sign than these texts: HTTP/2's REFUSED_STREAM, for a connection with too many calls, and
    # that of grpc.aio's server for all its connections together.
    if code is grpc.StatusCode.UNAVAILABLE:
        return "RST_STREAM with error code 7" in details
    return code is grpc.StatusCode.RESOURCE_EXHAUSTED and details.startswith("Concurrent RPC limit exceeded")


def _too_many_calls() -> ResourceExhausted:
    return ResourceExhausted(
        "The service has more calls to answer than it takes at once.",
        reason="TOO_MANY_CALLS",
        fix="Try again shortly, with fewer calls at once, or add replicas.",
        retry_after_s=BUSY_RETRY_AFTER_S,
    )


def code_number(code: grpc.StatusCode) -> int:
    """The number of a code on the wire."""
    number: int = code.value[0]
    return number


def _unexplained() -> InternalError:
    span = trace.get_current_span().get_span_context()
    where = f" under trace {span.trace_id:032x}" if span.is_valid else ""
    return InternalError(
        "Something went wrong inside Lepton.", fix=f"Try again; if it happens again, see the server's log{where}."
    )


def _error_class(code: grpc.StatusCode) -> type[LeptonError]:
    return ERROR_BY_CODE.get(code) or _FOREIGN_CODES.get(code, InternalError)


def _build(error_class: type[LeptonError], status: status_pb2.Status) -> LeptonError:
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    has_retry = False
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad_request)
        has_retry = detail.Unpack(retry) or has_retry
    length = info.metadata.get("message_chars", "")
    error = error_class(
        status.message[: int(length)] if length.isdecimal() else status.message,
        reason=info.reason or None,
        fix=info.metadata.get("fix", ""),
        fields=tuple(FieldViolation(each.field, each.description) for each in bad_request.field_violations),
        retry_after_s=retry.retry_delay.ToNanoseconds() / 1e9 if has_retry else None,
    )
    error.retried = info.metadata.get("retried") == "true"
    return error


def _bad_request(fields: tuple[FieldViolation, ...]) -> error_details_pb2.BadRequest:
    """As many of the violations as fit; the rest is counted, not lost silently."""
    bad_request = error_details_pb2.BadRequest()
    room = _MAX_FIELDS_BYTES
    for index, violation in enumerate(fields):
        field, description = _clip(violation.field, 200), _clip(violation.description, 400)
        room -= len(field.encode()) + len(description.encode())
        if room < 0:
            bad_request.field_violations.add(field="…", description=f"and {len(fields) - index} more")
            break
        bad_request.field_violations.add(field=field, description=description)
    return bad_request


def _clip(text: str, max_bytes: int = _MAX_TEXT_BYTES) -> str:
    """The text, cut at a character boundary so that it takes at most `max_bytes`; lone surrogates are replaced."""
    encoded = _encoded(text)
    if len(encoded) <= max_bytes:
        return encoded.decode()
    return encoded[: max_bytes - 3].decode("utf-8", "ignore") + "…"


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _code_of(error: grpc.RpcError) -> grpc.StatusCode:
    code = error.code() if isinstance(error, (grpc.aio.AioRpcError, grpc.Call)) else None
    return code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN


def _details_of(error: grpc.RpcError) -> str:
    details = error.details() if isinstance(error, (grpc.aio.AioRpcError, grpc.Call)) else None
    return str(details) if details else ""


def _trailers_of(error: grpc.RpcError) -> Iterable[tuple[str, str | bytes]]:
    return (error.trailing_metadata() or ()) if isinstance(error, (grpc.aio.AioRpcError, grpc.Call)) else ()


def _trace_id_of(error: grpc.RpcError) -> str:
    return next((str(value) for key, value in _trailers_of(error) if key == TRACE_ID_TRAILER), "")


def _status_of(error: grpc.RpcError) -> status_pb2.Status | None:
    """The status in the trailers, when there is one that parses and describes an error."""
    for key, value in _trailers_of(error):
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
            except DecodeError:
                return None  # not ours; the code and text of the call still tell what happened
            return status if status.code else None
    return None
