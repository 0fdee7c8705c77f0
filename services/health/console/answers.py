"""Answers and errors as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import grpc
from starlette.responses import Response

from lepton_ai.errors import LeptonError

_STATUS: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


def answer(document: Any, status: int = 200) -> Response:
    """A document that nobody may keep."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Response(text, status, media_type="application/json", headers={"Cache-Control": "no-store"})


def refuse(error: LeptonError) -> Response:
    """An error as an answer, with the HTTP status that says the same as its gRPC code."""
    return answer(describe_error(error), _STATUS.get(error.code, 500))


def describe_error(error: LeptonError) -> dict[str, Any]:
    """What was wrong and what to do, for the page to show."""
    return {"error": {"code": error.code.name, "reason": error.reason, "message": error.message, "fix": error.fix}}
