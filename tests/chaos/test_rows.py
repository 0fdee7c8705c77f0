"""Rows never mix: whatever batches they travel in, every caller gets exactly the answers to what it sent."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lepton_ai import AsyncClient
from lepton_ai.addresses import split_addresses
from lepton_ai.testing import eventually
from tests.chaos.calls import ROWS, KnownPhoto, photo_calls, piped_package, row_calls, wide_package
from tests.chaos.faults import kill, repeated_calls, until_ready
from tests.chaos.load import CALLERS, Ask, load
from tests.chaos.recoveries import Recoveries
from tests.chaos.row_callers import RowCallers, ServedModel, Tally
from tests.platform import Platform

MANY_ROWS = 1_000_000

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


@pytest.mark.timeout(600)
async def test_a_million_rows_never_mix_whatever_is_cancelled_late_hedged_kept_killed_or_deployed(
    pair: Platform, recoveries: Recoveries, tmp_path: Path
) -> None:
    seed, began_s = secrets.randbits(32), time.monotonic()
    async with pair.client() as client, _served(client, tmp_path) as kept:
        faults = _faults(pair, client, kept, random.Random(seed))
        async with _calling(pair, client, kept, seed) as callers:
            repeats: Counter[str] = Counter()
            for _, hurt in faults:
                await callers.more(MANY_ROWS // (2 * len(faults)), timeout_s=120)
                repeats |= await repeated_calls(pair)
                await hurt()
                await until_ready(pair)
            await callers.more(MANY_ROWS - callers.tally.rows, timeout_s=200)

            async def hedged() -> int:
                nonlocal repeats
                repeats |= await repeated_calls(pair)
                return repeats["hedge"]

            await eventually(hedged, timeout_s=120, interval_s=0.5, description="a call was made at both replicas")
        tally = callers.tally
    what = (
        f"{len(faults)} faults in the order of seed {seed}, {tally.cancelled} calls given up, "
        f"{tally.cached_rows:,} rows from the cache, {repeats['hedge']} hedges and {repeats['retry']} retries; "
        f"failed: {dict(tally.failures)}"
    )
    until, took_s = f"{tally.rows:,} rows of {dict(tally.rows_by_way)} are right", time.monotonic() - began_s
    recoveries.record(what, until, took_s, failed=tally.failures.total(), answered=tally.calls)
    _check_enough_happened(tally, repeats)


def _check_enough_happened(tally: Tally, repeats: Counter[str]) -> None:
    assert tally.rows >= MANY_ROWS
    assert all(tally.rows_by_way[way] > 1000 for way in ("Predict", "predict_many", "ModelInfer", "PredictStream"))
    assert all(tally.versions[version] > 1000 for version in (1, 2))
    assert tally.cached_rows > 1000
    assert tally.cancelled > 100
    assert tally.failures["DeadlineExceeded"] > 100
    assert repeats["hedge"], repeats
    assert set(tally.failures) <= {"DeadlineExceeded", "Unavailable", "ResourceExhausted"}, "others are no one's fault"


@asynccontextmanager
async def _served(client: AsyncClient, directory: Path) -> AsyncIterator[ServedModel]:
    """Three models while the block runs: one that keeps its answers, version 1 of two, one that does not, and one that
    takes raw items."""
    kept = ServedModel("kept", {1: 2.0, 2: 3.0}, repeats=True)
    for factor in kept.factors.values():
        package = wide_package(directory / f"{factor:g}", name=kept.name, factor=factor, kept=True)
        await client.push(package.directory)
    for package in (wide_package(directory / "wide", name="wide"), piped_package(directory / "piped")):
        await client.push(package.directory)
    for model in (f"{kept.name}@1", "wide", "piped"):
        await client.deploy(model)
    yield kept
    for model in (kept.name, "wide", "piped"):
        await client.undeploy(model)


@asynccontextmanager
async def _calling(pair: Platform, client: AsyncClient, kept: ServedModel, seed: int) -> AsyncIterator[RowCallers]:
    """Callers on all ways into both replicas while the block runs."""
    wide, piped = ServedModel("wide", {1: 2.0}), ServedModel("piped", {1: 2.0})
    callers = RowCallers(seed=seed)
    async with AsyncExitStack() as stack:
        addresses = split_addresses(pair.state.addresses["inference"])
        channels = [await stack.enter_async_context(grpc.aio.insecure_channel(address)) for address in addresses]
        callers.add(callers.predict_many(client, piped))
        for model, most in ((wide, 1000), (kept, 100)):
            callers.add(callers.predict(client, model, max_rows=most), callers=CALLERS)
            callers.add(callers.model_infer(channels, model, max_rows=most), callers=2)
            callers.add(callers.predict_stream(channels, model, max_rows=most // 4), callers=2)
        try:
            yield callers
        except BaseException as error:
            error.add_note(f"seed {seed}, {callers.tally}")
            raise
        finally:
            await callers.end()


def _faults(
    pair: Platform, client: AsyncClient, kept: ServedModel, dice: random.Random
) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
    """Ways to hurt the platform, in an order of its own for each seed; versions change back and forth in between."""

    names = ("inference-1", "inference-2", "preprocess-1", "preprocess-2")
    kills: list[tuple[str, Callable[[], Awaitable[None]]]] = [
        (f"kill -9 {name}", partial(_kill, pair, name)) for name in names
    ]
    kills += [("kill -9 all stubs", partial(_kill_stubs, pair))] * 2
    dice.shuffle(kills)
    faults: list[tuple[str, Callable[[], Awaitable[None]]]] = []
    for number, fault in enumerate(kills):
        faults += [fault, (f"deploy {2 - number % 2}", partial(_deploy, client, kept, 2 - number % 2))]
    return faults


async def _kill(pair: Platform, name: str) -> None:
    await kill(pair.process(name))


async def _kill_stubs(pair: Platform) -> None:
    await kill(*pair.python_stubs())


async def _deploy(client: AsyncClient, model: ServedModel, version: int) -> None:
    """While it is being deployed calls are answered by either version, and afterwards by the new one alone."""
    model.may_answer(1, 2)
    await client.deploy(f"{model.name}@{version}")
    model.may_answer(version)


def _photos(client: AsyncClient, known: tuple[KnownPhoto, ...]) -> list[Ask]:
    return [photo_calls(client, known[start:] + known[:start]) for start in range(CALLERS)]
