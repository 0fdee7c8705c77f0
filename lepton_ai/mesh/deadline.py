"""Deadlines: how much time a call has left, and a default for unary calls that came without one."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Any

import grpc

DEFAULT_TIMEOUT_S = 30.0

_given_end_s: ContextVar[float | None] = ContextVar("lepton_given_deadline", default=None)
"""Monotonic end of the current call when the server, not the caller, set it."""


def remaining_s(context: grpc.aio.ServicerContext[Any, Any], *, default_s: float = DEFAULT_TIMEOUT_S) -> float:
    """Seconds that the current call may still take, ≥ 0 and finite: hand it on to every call made on its behalf.

    The caller's deadline when there is one, else the one the server gave the call, else (in streams, which may live for
    ever) `default_s`.
    """
    callers: float | None = context.time_remaining()
    if callers is not None:
        return max(0.0, callers)
    end_s = _given_end_s.get()
    return default_s if end_s is None else max(0.0, end_s - time.monotonic())
