"""Calls for parts of a large batch: in bounded number, and patient with replicas that have no room for some rows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from lepton_ai.client.batches import CALLS_AT_ONCE, all_failed, join, refused_rows, with_later
from lepton_ai.errors import InvalidInput, ResourceExhausted
from lepton_ai.prediction import Answer
from lepton_ai.v1 import common_pb2

Items = Sequence[common_pb2.Item]
PredictItems = Callable[[Items], Awaitable[Answer]]
"""One call. Raises LeptonError."""


async def predict_parts(parts: Sequence[Items], predict: PredictItems, end_s: float) -> Answer:
    """The answers to all parts as one. When one call fails the others are cancelled."""
    room = asyncio.Semaphore(CALLS_AT_ONCE)

    async def call(items: Items) -> Answer:
        async with room:
            return await predict_patiently(items, predict, end_s)

    tasks = [asyncio.ensure_future(call(items)) for items in parts]
    try:
        return join(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


async def predict_patiently(items: Items, predict: PredictItems, end_s: float) -> Answer:
    """One part: what a replica has no room for, the whole call or some of its rows, is sent again when it says, while
    there is time, and an example that happens to be alone in its call has its own error."""
    try:
        answer = await _predict_when_there_is_room(items, predict, end_s)
    except InvalidInput as error:
        if len(items) > 1:
            raise
        return all_failed("", [error])
    refused = refused_rows(answer)
    pause_s = max(refused.values(), default=0.0)
    if not refused or time.monotonic() + pause_s >= end_s:
        return answer
    await asyncio.sleep(pause_s)
    again = [items[row] for row in refused]
    return with_later(answer, refused, await predict_patiently(again, predict, end_s))


async def _predict_when_there_is_room(items: Items, predict: PredictItems, end_s: float) -> Answer:
    while True:
        try:
            return await predict(items)
        except ResourceExhausted as error:
            pause_s = error.retry_after_s
            if pause_s is None or time.monotonic() + pause_s >= end_s:
                raise
        await asyncio.sleep(pause_s)
