"""Deployments under load: a version that cannot work never takes over, and one that works does so unnoticed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from lepton_ai import AsyncClient
from lepton_ai.errors import FailedPrecondition
from lepton_ai.package import Package
from lepton_ai.v1 import health_pb2
from tests.chaos.calls import ROWS, crashing_package, row_calls, rows_package, wrong_golden_package
from tests.chaos.faults import until_healthy
from tests.chaos.load import load
from tests.platform import Platform


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[AsyncClient]:
    """A client; afterwards version 1 is served again."""
    async with platform.client() as client:
        yield client
        await client.deploy(f"{ROWS}@1")


async def failure_of(client: AsyncClient, version: int) -> str:
    """What the platform says about a version that failed."""
    model = next(model for model in (await client.status()).models if model.name == ROWS)
    status = next(each.status for each in model.served if each.status.version == version)
    assert status.state == health_pb2.VERSION_STATE_FAILED
    return status.message


@pytest.mark.parametrize("broken", [wrong_golden_package, crashing_package])
async def test_a_broken_version_fails_with_its_reason_and_the_old_one_goes_on(
    platform: Platform, client: AsyncClient, tmp_path: Path, broken: Callable[[Path], Package]
) -> None:
    pushed = await client.push(broken(tmp_path / "broken").directory)
    async with load(row_calls(client, factors={1: 2.0})) as running:
        with pytest.raises(FailedPrecondition) as caught:
            await client.deploy(f"{ROWS}@{pushed.version}")
        assert f"version {pushed.version} cannot be served" in caught.value.message
        assert await failure_of(client, pushed.version) in caught.value.message
        await running.more(100)
    assert not running.failures


async def test_the_command_line_says_why_and_exits_with_1(
    platform: Platform, client: AsyncClient, tmp_path: Path
) -> None:
    pushed = await client.push(wrong_golden_package(tmp_path / "wrong").directory)
    done = platform.lepton("deploy", f"{ROWS}@{pushed.version}")
    assert done.returncode == 1
    assert "golden[0]" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_new_version_takes_over_and_the_old_one_again_and_no_call_fails(
    platform: Platform, client: AsyncClient, tmp_path: Path
) -> None:
    pushed = await client.push(rows_package(tmp_path / "thrice", factor=3.0).directory)
    factors = {1: 2.0, pushed.version: 3.0}
    ask = row_calls(client, factors=factors, seed=1)
    async with load(row_calls(client, factors=factors)) as running:
        for version in (pushed.version, 1, pushed.version, 1):
            await client.deploy(f"{ROWS}@{version}")
            # Deployed means so: from here on nobody gets the other version's answer.
            assert {await ask() for _ in range(50)} == {version}
    assert not running.failures
    await until_healthy(platform)
