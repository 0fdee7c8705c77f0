"""Marks spans with how the work they stand for ended."""

from __future__ import annotations

import asyncio

import grpc
from opentelemetry.trace import Span, Status, StatusCode

from lepton_ai.errors import Cancelled, LeptonError

_MAX_DESCRIPTION_CHARS = 256
_NO_FAILURE = frozenset({grpc.StatusCode.OK, grpc.StatusCode.CANCELLED})
"""CANCELLED is no failure: a stream that lives until its caller leaves always ends that way."""


def mark_code(span: Span, code: grpc.StatusCode, description: str | None = None) -> None:
    """Note how an RPC ended. Every code but OK and CANCELLED marks the span as an error, on both sides of the call."""
    if not span.is_recording():
        return
    span.set_attribute("rpc.response.status_code", code.name)
    if code not in _NO_FAILURE:
        span.set_attribute("error.type", code.name)
        span.set_status(Status(StatusCode.ERROR, (description or "")[:_MAX_DESCRIPTION_CHARS] or None))


def mark_error(span: Span, error: BaseException) -> None:
    """Mark a span as failed. Texts of foreign exceptions are left out: they may hold payloads or paths.

    Work that was cancelled because its caller has gone is not marked: it has not failed.
    """
    if not span.is_recording() or isinstance(error, Cancelled | asyncio.CancelledError):
        return
    if isinstance(error, LeptonError):
        span.set_attribute("error.type", error.code.name)
        span.set_status(Status(StatusCode.ERROR, error.message[:_MAX_DESCRIPTION_CHARS]))
    else:
        span.set_attribute("error.type", type(error).__qualname__)
        span.set_status(Status(StatusCode.ERROR))
