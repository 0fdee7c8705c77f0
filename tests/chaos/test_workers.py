"""Two workers of one inference replica, on each transport: any of them may die or leave, and changes go on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from lepton_ai import Addresses, AsyncClient
from lepton_ai.addresses import split_addresses
from tests.chaos.calls import ROWS, row_calls, rows_package
from tests.chaos.conftest import deploy
from tests.chaos.faults import kill, until_gone, until_healthy, until_ready
from tests.chaos.load import load
from tests.chaos.recoveries import Recoveries
from tests.platform import Platform, running_platform
from tests.transports import TRANSPORTS

_CALLS_BEFORE = 150
"""What earns the clients' retry budgets a retry for each of the calls that are under way when a worker dies."""


@pytest.fixture(scope="module", params=TRANSPORTS)
def shared_workers(
    request: pytest.FixtureRequest, row_package: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LEPTON_TRANSPORT", request.param)
        with running_platform(tmp_path_factory.mktemp("工") / ".lepton", workers=2) as running:
            asyncio.run(deploy(running, row_package))
            yield running


@pytest.fixture
async def workers(shared_workers: Platform) -> AsyncIterator[Platform]:
    """One replica of two workers, which every test must leave healthy: health expects both."""
    yield shared_workers
    await until_healthy(shared_workers)


def on_one_port(workers: Platform) -> AsyncClient:
    """A client that knows the shared port alone."""
    shared = f"127.0.0.1:{workers.state.ports['inference']}"
    return AsyncClient(Addresses(inference=shared, health=workers.addresses.health), timeout_s=10)


def test_a_client_of_the_stack_knows_every_worker(workers: Platform) -> None:
    first = workers.state.ports["inference-workers"]
    assert split_addresses(workers.state.addresses["inference"]) == (f"127.0.0.1:{first}", f"127.0.0.1:{first + 1}")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_no_prediction_fails_when_one_worker_after_the_other_ends(
    workers: Platform, recoveries: Recoveries, number: signal.Signals
) -> None:
    async with workers.client() as client, on_one_port(workers) as other:
        asks = [row_calls(each, factors={1: 2.0}) for each in (client, other)]
        async with load(*asks) as running:
            for victim in workers.workers():
                await running.more(_CALLS_BEFORE)
                victim.send_signal(number)
                await until_gone(victim)
                await until_ready(workers)
                await running.more(50)
    failed, answered = len(running.failures), running.answers
    recoveries.record(
        f"{number.name}: each worker of two", "slowest call", running.slowest_s, failed=failed, answered=answered
    )
    assert not running.failures


async def test_a_deployment_goes_through_though_workers_die_and_nobody_gets_an_old_answer_after_it(
    workers: Platform, tmp_path: Path
) -> None:
    async with workers.client() as client, on_one_port(workers) as other:
        await client.push(rows_package(tmp_path / ROWS, factor=3.0).directory)
        asks = [row_calls(each, factors={1: 2.0, 2: 3.0}) for each in (client, other)]
        async with load(*asks) as running:
            for version, victim in zip((2, 1), workers.workers(), strict=True):
                await running.more(_CALLS_BEFORE)
                victim.kill()
                await client.deploy(f"{ROWS}@{version}")
                for ask in asks * 10:
                    assert await ask() == version
                await until_ready(workers)
        assert not running.failures


async def test_killing_the_parent_leaves_no_worker_and_all_comes_back(workers: Platform) -> None:
    parent, before = workers.process("inference"), workers.workers()
    await kill(parent)
    await until_gone(*before)
    await until_healthy(workers)
    assert not {each.pid for each in workers.workers()} & {each.pid for each in before}
