"""Rollouts under load, on real components: nobody's call fails, shares hold, and the way back is short."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lepton_ai import AsyncClient
from lepton_ai.v1 import registry_pb2
from tests.chaos.calls import (
    LABELLED,
    ROWS,
    crashing_package,
    flaky_package,
    labelled_calls,
    labelled_package,
    leaking_calls,
    row_calls,
    rows_package,
    slow_package,
)
from tests.chaos.faults import kill, until_ready
from tests.chaos.load import load
from tests.chaos.recoveries import Recoveries
from tests.chaos.rollouts import LONG_S, PROMOTED, ROLLED_BACK, RUNNING, until_answered_by, until_state, versions_of
from tests.platform import Platform


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[AsyncClient]:
    """A client; afterwards version 1 is served again, and no rollout is under way."""
    async with platform.client() as client:
        await client.deploy(f"{ROWS}@1")
        yield client
        newest = (await client.rollouts(ROWS))[:1]
        if newest and newest[0].state in (registry_pb2.ROLLOUT_STATE_WAITING, RUNNING, registry_pb2.ROLLOUT_STATE_HELD):
            await client.control_rollout(ROWS, "abort")
        await client.deploy(f"{ROWS}@1")


@pytest.fixture
async def thrice(client: AsyncClient, tmp_path: Path) -> int:
    """A version that works, and multiplies by 3."""
    return (await client.push(rows_package(tmp_path / "thrice", factor=3.0).directory)).version


async def test_a_canary_gets_its_share(client: AsyncClient, thrice: int) -> None:
    factors = {1: 2.0, thrice: 3.0}
    await client.start_rollout(f"{ROWS}@{thrice}", [20], step_s=LONG_S, judged=False)
    await until_state(client, RUNNING)
    await until_answered_by(client, factors, {1, thrice})
    calls = 400
    share = (await versions_of(client, factors, calls))[thrice] / calls
    assert abs(share - 0.2) < 6 * math.sqrt(0.2 * 0.8 / calls), "six standard deviations of a binomial"


async def test_a_canary_takes_over_step_by_step_and_no_call_fails(client: AsyncClient, thrice: int) -> None:
    factors = {1: 2.0, thrice: 3.0}
    async with load(row_calls(client, factors=factors)) as running:
        await client.start_rollout(f"{ROWS}@{thrice}", [20, 50], step_s=2.0, bake_s=1.0, judged=False)
        await until_state(client, PROMOTED)
        assert await until_answered_by(client, factors, {thrice}) < 5
        await running.more(100)
    assert not running.failures


async def test_a_rollback_takes_effect_in_under_a_second(client: AsyncClient, thrice: int) -> None:
    factors = {1: 2.0, thrice: 3.0}
    async with load(row_calls(client, factors=factors)) as running:
        await client.start_rollout(f"{ROWS}@{thrice}", [50], step_s=LONG_S)
        await until_state(client, RUNNING)
        await until_answered_by(client, factors, {1, thrice})
        began_s = time.monotonic()
        assert (await client.rollback(ROWS)).version == 1
        answered_s = time.monotonic() - began_s
        await until_answered_by(client, factors, {1})
        assert (await client.rollouts(ROWS))[0].state == ROLLED_BACK
    assert not running.failures
    assert answered_s < 1.0


async def test_a_version_that_cannot_be_served_never_gets_a_call(client: AsyncClient, tmp_path: Path) -> None:
    broken = (await client.push(crashing_package(tmp_path / "broken").directory)).version
    async with load(row_calls(client, factors={1: 2.0})) as running:
        await client.start_rollout(f"{ROWS}@{broken}", [5], step_s=1.0)
        ended = await until_state(client, ROLLED_BACK)
        await running.more(100)
    assert f"version {broken} cannot be served" in ended.reason
    assert not running.failures


async def test_a_killed_registry_goes_on_where_it_was_and_meanwhile_no_share_grows(
    platform: Platform, client: AsyncClient, thrice: int
) -> None:
    factors = {1: 2.0, thrice: 3.0}
    async with load(row_calls(client, factors=factors)) as running:
        await client.start_rollout(f"{ROWS}@{thrice}", [10, 30, 60], step_s=4.0, bake_s=0.0, judged=False)
        for share, following in ((1000, 3000), (3000, 6000)):
            before = await until_state(client, RUNNING, share=share)
            await kill(platform.process("registry"))
            await until_ready(platform)
            after = (await client.rollouts(ROWS))[0]
            # It may have been ready for some time when that was seen, and gone one step further; never two.
            assert (after.id, after.state) == (before.id, RUNNING)
            assert after.share in (share, following)
        await until_state(client, RUNNING, share=6000)
        await until_state(client, PROMOTED)
        await until_answered_by(client, factors, {thrice})
    assert not running.failures


async def test_a_canary_that_fails_one_call_in_twenty_is_taken_back_by_the_judge(
    client: AsyncClient, tmp_path: Path, recoveries: Recoveries
) -> None:
    flaky = (await client.push(flaky_package(tmp_path / "flaky").directory)).version
    ask = row_calls(client, factors={1: 2.0, flaky: 2.0}, max_rows=1)
    async with load(ask) as running:
        began_s = time.monotonic()
        await client.start_rollout(f"{ROWS}@{flaky}", [2], step_s=LONG_S)
        ended = await until_state(client, ROLLED_BACK)
        fault, until = "a canary that fails one call in twenty", "it was rolled back"
        seconds, failed, answered = time.monotonic() - began_s, len(running.failures), running.answers
        recoveries.record(fault, until, seconds, failed=failed, answered=answered)
    assert ended.verdict.outcome == registry_pb2.VERDICT_OUTCOME_HARM
    assert "failed" in ended.reason
    assert seconds <= 60.0
    assert len(running.failures) <= 0.005 * running.answers


async def test_a_canary_that_is_slow_is_taken_back_by_the_judge(client: AsyncClient, tmp_path: Path) -> None:
    slow = (await client.push(slow_package(tmp_path / "slow", name=ROWS).directory)).version
    async with load(row_calls(client, factors={1: 2.0, slow: 2.0}, max_rows=1)) as running:
        began_s = time.monotonic()
        await client.start_rollout(f"{ROWS}@{slow}", [10], step_s=LONG_S)
        ended = await until_state(client, ROLLED_BACK)
        seconds = time.monotonic() - began_s
    assert "latency" in ended.reason
    assert seconds <= 60.0
    assert not running.failures


async def test_a_canary_with_wrong_labels_at_normal_speed_is_taken_back(
    client: AsyncClient, tmp_path: Path, recoveries: Recoveries
) -> None:
    first = await client.push(labelled_package(tmp_path / "right").directory)
    await client.deploy(f"{LABELLED}@{first.version}")
    wrong = (await client.push(labelled_package(tmp_path / "wrong", says=(0, 1, 2, 2)).directory)).version
    async with load(labelled_calls(client)) as running:
        began_s = time.monotonic()
        await client.start_rollout(f"{LABELLED}@{wrong}", [10], step_s=LONG_S)
        ended = await until_state(client, ROLLED_BACK, model=LABELLED)
        seconds, answered = time.monotonic() - began_s, running.answers
        fault = "a canary with a wrong label in four"
        recoveries.record(fault, "it was rolled back", seconds, failed=0, answered=answered)
    assert not running.failures
    assert "labels" in ended.reason
    assert seconds <= 60.0


async def test_a_canary_that_fails_ever_more_is_taken_back(
    client: AsyncClient, tmp_path: Path, recoveries: Recoveries
) -> None:
    leaky = (await client.push(flaky_package(tmp_path / "leaky", beyond=4.0).directory)).version
    began_s = time.monotonic()

    def grows() -> float:
        return min(0.5 + (time.monotonic() - began_s) / 20.0, 4.0)

    async with load(leaking_calls(client, {1: 2.0, leaky: 2.0}, grows=grows)) as running:
        await client.start_rollout(f"{ROWS}@{leaky}", [2], step_s=LONG_S)
        ended = await until_state(client, ROLLED_BACK)
        seconds, failed, answered = time.monotonic() - began_s, len(running.failures), running.answers
        fault = "a canary that fails ever more"
        recoveries.record(fault, "it was rolled back", seconds, failed=failed, answered=answered)
    assert "failed" in ended.reason
    assert seconds <= 60.0
    assert failed <= 0.005 * answered
