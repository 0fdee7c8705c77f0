"""Two replicas of inference, each with its Triton: restarts one after the other, and kills, that nobody notices."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lepton_ai import AsyncClient
from lepton_ai.addresses import split_addresses
from lepton_ai.errors import Unavailable
from tests.chaos.calls import KnownPhoto, learn_photos, photo_calls, row_calls
from tests.chaos.faults import kill, restart, until_ready
from tests.chaos.load import CALLERS, Load, load
from tests.chaos.recoveries import Recoveries
from tests.platform import Platform

_FACTORS = {1: 2.0}


@pytest.fixture
async def client(pair: Platform) -> AsyncIterator[AsyncClient]:
    async with pair.client() as client:
        yield client


@pytest.fixture
async def known(client: AsyncClient) -> tuple[KnownPhoto, ...]:
    return await learn_photos(client)


def test_a_client_knows_every_inference_replica(pair: Platform) -> None:
    ports = {pair.state.ports[name] for name in ("inference-1", "inference-2")}
    assert {int(address.rpartition(":")[2]) for address in split_addresses(pair.state.addresses["inference"])} == ports


@pytest.mark.parametrize("part", ["preprocess", "inference"])
async def test_a_rolling_restart_fails_no_prediction(
    pair: Platform, client: AsyncClient, known: tuple[KnownPhoto, ...], recoveries: Recoveries, part: str
) -> None:
    async with load(photo_calls(client, known), row_calls(client, factors=_FACTORS)) as running:
        for name in (f"{part}-1", f"{part}-2"):
            await restart(pair, name)
            await running.more(50)
    _record(recoveries, f"SIGTERM: {part}-1, then -2", running)
    assert not running.failures


@pytest.mark.parametrize("part", ["registry", "health"])
async def test_a_restart_fails_no_prediction_and_callers_of_the_service_are_told_to_try_again(
    pair: Platform, client: AsyncClient, known: tuple[KnownPhoto, ...], recoveries: Recoveries, part: str
) -> None:
    async def look() -> None:
        await (client.models() if part == "registry" else client.status())

    async with load(photo_calls(client, known)) as running, load(look, callers=2) as looking:
        await restart(pair, part)
        await looking.more(20)
    _record(recoveries, f"SIGTERM: {part}", running)
    assert not running.failures
    assert [repr(error) for error in looking.failures if type(error) is not Unavailable or not error.fix] == []


@pytest.mark.parametrize("name", ["inference-1", "triton-1"])
async def test_a_kill_fails_no_prediction_when_there_is_another_replica(
    pair: Platform, client: AsyncClient, known: tuple[KnownPhoto, ...], recoveries: Recoveries, name: str
) -> None:
    async with load(photo_calls(client, known), row_calls(client, factors=_FACTORS)) as running:
        await kill(pair.process(name))
        seconds = await until_ready(pair)
        await running.more(50)
    failed, answered = len(running.failures), running.answers
    recoveries.record(f"kill -9: {name} of two", "the process is ready", seconds, failed=failed, answered=answered)
    assert not running.failures


async def test_answers_never_mix_while_replicas_are_killed(
    pair: Platform, client: AsyncClient, known: tuple[KnownPhoto, ...]
) -> None:
    rows = [row_calls(client, factors=_FACTORS, seed=seed) for seed in range(CALLERS)]
    photos = [photo_calls(client, known[start:] + known[:start]) for start in range(CALLERS)]
    async with load(*rows, *photos, callers=2 * CALLERS) as running:
        for name in ("inference-2", "preprocess-1"):
            await kill(pair.process(name))
            await until_ready(pair)
            await running.more(200)
    assert not running.failures


def _record(recoveries: Recoveries, fault: str, running: Load) -> None:
    recoveries.record(fault, "slowest call", running.slowest_s, failed=len(running.failures), answered=running.answers)
