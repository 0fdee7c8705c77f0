"""Waits for a condition with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, overload

import grpc

from lepton_ai.errors import LeptonError

T = TypeVar("T")

_NOT_YET = (AssertionError, LeptonError, LookupError, OSError, grpc.RpcError)
"""What a condition may raise to say "not yet"; anything else is a fault of the test and ends the wait."""


@overload
async def eventually(
    condition: Callable[[], Coroutine[Any, Any, T]],
    *,
    timeout_s: float = 5.0,
    description: str,
    interval_s: float = 0.01,
) -> T: ...
@overload
async def eventually(
    condition: Callable[[], T],
    *,
    timeout_s: float = 5.0,
    description: str,
    interval_s: float = 0.01,
) -> T: ...
async def eventually(
    condition: Callable[[], Any],
    *,
    timeout_s: float = 5.0,
    description: str,
    interval_s: float = 0.01,
) -> Any:
    """Call `condition` (plain or async) until it returns something true, and return that.

    Raises AssertionError with the description and the last error or value when `timeout_s` have passed.
    """
    end_s = time.monotonic() + timeout_s
    while True:
        try:
            result = condition()
            value = await result if inspect.isawaitable(result) else result
            if value:
                return value
            last = f"last value: {value!r}"
        except _NOT_YET as error:
            last = f"last error: {type(error).__name__}: {error}"
        if time.monotonic() >= end_s:
            raise AssertionError(f"not within {timeout_s:g} s: {description} ({last})")
        await asyncio.sleep(interval_s)
