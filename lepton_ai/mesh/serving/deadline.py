"""Deadlines: how much time a call has left, and a default for unary calls that came without one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import grpc

from lepton_ai.errors import DeadlineExceeded
from lepton_ai.mesh.limits import DEFAULT_TIMEOUT_S

_LAST_PART = 0.1
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


@asynccontextmanager
async def given_deadline(timeout_s: float) -> AsyncIterator[None]:
    """End the block with DeadlineExceeded after `timeout_s`, and let `remaining_s` know."""
    token = _given_end_s.set(time.monotonic() + timeout_s)
    try:
        async with asyncio.timeout(timeout_s) as scope:
            yield
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise DeadlineExceeded(
            f"The call had no deadline and did not finish within {timeout_s:g} s, the default of this server.",
            fix="Send a deadline with the call that fits the work.",
        ) from error
    finally:
        _given_end_s.reset(token)


def is_out_of_time(passed_s: float, left_s: float) -> bool:
    """Whether a caller that leaves now does so as its time is over, and not because it has changed its mind.

    Its clock began to run before the call was here, so it leaves a little before the deadline that is known here.
    """
    return left_s <= _LAST_PART * (passed_s + left_s)
