"""Rows never mix: whatever batches they travel in, every caller gets exactly the answers to what it sent."""

from __future__ import annotations

import asyncio

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lepton_ai import AsyncClient
from tests.chaos.calls import ROWS, KnownPhoto, photo_calls, row_calls
from tests.chaos.load import CALLERS, Ask, load
from tests.platform import Platform

_CALLS = st.lists(st.integers(1, 20), min_size=2, max_size=40)
"""Rows in each of the calls that are made at once."""


async def ask_all(platform: Platform, counts: list[int]) -> None:
    starts = np.cumsum([0, *counts])
    sent = [
        np.arange(start * 4, (start + count) * 4, dtype=np.float32).reshape(count, 4)
        for start, count in zip(starts, counts, strict=False)
    ]
    async with platform.client() as client:
        answers = await asyncio.gather(*(client.infer(ROWS, {"x": rows}) for rows in sent))
    for rows, answer in zip(sent, answers, strict=True):
        np.testing.assert_array_equal(answer.tensors["y"], rows * 2)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(counts=_CALLS)
def test_calls_of_any_sizes_made_at_once_each_get_their_own_rows(shared_platform: Platform, counts: list[int]) -> None:
    asyncio.run(ask_all(shared_platform, counts))


async def test_photos_and_rows_of_many_callers_each_get_their_own_answer(
    platform: Platform, known_photos: tuple[KnownPhoto, ...]
) -> None:
    async with platform.client() as client:
        asks = [*_photos(client, known_photos), *(row_calls(client, factors={1: 2.0}, seed=n) for n in range(CALLERS))]
        async with load(*asks, callers=2 * CALLERS) as running:
            await running.more(500)
    assert not running.failures


def _photos(client: AsyncClient, known: tuple[KnownPhoto, ...]) -> list[Ask]:
    return [photo_calls(client, known[start:] + known[:start]) for start in range(CALLERS)]
