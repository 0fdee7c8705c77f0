"""Two workers of one replica on the same Triton and the same files: each serves all, and none is in the other's way."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lepton_ai.mesh.discovery.state import DEPLOYMENTS
from lepton_ai.testing import MemoryStore, eventually
from tests.replica import Replica
from tests.unit.inference.lifecycle.world import World, serves

_OTHER = "127.0.0.1:8501"


@pytest.fixture
def late_state() -> MemoryStore:
    """The shared state as the second worker sees it: it hears of nothing until `tell`."""
    return MemoryStore()


@pytest.fixture
async def pair(world: World, late_state: MemoryStore) -> AsyncIterator[tuple[Replica, Replica]]:
    async with world.replica() as first, world.replica(address=_OTHER, state=late_state) as second:
        yield first, second


async def tell(world: World, late_state: MemoryStore) -> None:
    """Let the second worker see what is deployed now."""
    for key, value in (await world.state.list(DEPLOYMENTS)).items():
        await late_state.put(key, value)


async def deploy(world: World, late_state: MemoryStore, *versions: int) -> None:
    await world.registry.deploy("doubler", *versions)
    await tell(world, late_state)


def loads(world: World) -> list[str]:
    return [name for kind, name in world.triton.calls if kind == "load"]


async def test_a_version_is_loaded_and_fetched_once_and_served_by_both(
    world: World, pair: tuple[Replica, Replica], late_state: MemoryStore
) -> None:
    await deploy(world, late_state, 1)
    for worker in pair:
        await serves(worker, 1)
        assert await worker.ask() == [[1, 3, 5, 7]]
    assert loads(world) == ["doubler--v1"]
    assert len(world.registry.downloads) == len(set(world.registry.downloads))


async def test_what_one_still_serves_the_other_does_not_unload(
    world: World, pair: tuple[Replica, Replica], late_state: MemoryStore
) -> None:
    first, second = pair
    await deploy(world, late_state, 1)
    await serves(second, 1)
    await world.registry.deploy("doubler", 2)
    await serves(first, 2)
    await eventually(lambda: first.state_of(1) == "GONE", description="the first one has let go of version 1")
    assert await second.ask() == [[1, 3, 5, 7]]
    assert second.version() == 1
    await tell(world, late_state)
    await serves(second, 2)
    await eventually(lambda: world.triton.loaded == {"doubler--v2"}, description="version 1 is unloaded")
    assert loads(world) == ["doubler--v1", "doubler--v2"]


async def test_a_version_that_one_has_not_heard_of_stays_when_it_tidies_up(
    world: World, pair: tuple[Replica, Replica], late_state: MemoryStore
) -> None:
    first, second = pair
    await deploy(world, late_state, 1)
    await serves(second, 1)
    await world.registry.deploy("doubler", 1, 2)
    await eventually(lambda: first.state_of(2) == "SERVING", description="the first one serves version 2")
    await late_state.put(f"{DEPLOYMENTS}other", b"unreadable")  # another round, and another tidying
    await eventually(lambda: second.state_of(1) == "SERVING", description="the second one has seen it")
    assert await first.ask() == [[1, 3, 5, 7]]
    assert "doubler--v2" in world.triton.loaded
    assert (world.directory / "models/doubler--v2/config.pbtxt").exists()


async def test_a_dead_process_is_replaced_once_and_both_go_to_the_new_one(
    world: World, pair: tuple[Replica, Replica], late_state: MemoryStore
) -> None:
    await deploy(world, late_state, 1)
    for worker in pair:
        await serves(worker, 1)
    world.triton.kill_stub("doubler--v1")

    def both_moved() -> bool:
        return {worker.loaded().triton_name for worker in pair} == {"doubler--v1-2"}

    await eventually(both_moved, timeout_s=10, description="both use the new process")
    await eventually(lambda: world.triton.loaded == {"doubler--v1-2"}, description="the dead one is unloaded")
    for worker in pair:
        assert await worker.ask() == [[1, 3, 5, 7]]
    assert loads(world) == ["doubler--v1", "doubler--v1-2"]


async def test_after_a_restart_of_triton_both_serve_again_and_it_is_loaded_once(
    world: World, pair: tuple[Replica, Replica], late_state: MemoryStore
) -> None:
    await deploy(world, late_state, 1)
    for worker in pair:
        await serves(worker, 1)
    world.triton.kill()
    await eventually(lambda: not any(worker.version() for worker in pair), description="Triton is missed")
    world.triton.restart()
    for worker in pair:
        await serves(worker, 1)
    assert loads(world) == ["doubler--v1", "doubler--v1"]


async def test_when_one_ends_the_other_loads_and_unloads_as_before(world: World, late_state: MemoryStore) -> None:
    async with world.replica() as first:
        async with world.replica(address=_OTHER, state=late_state) as second:
            await deploy(world, late_state, 1)
            await serves(second, 1)
            await serves(first, 1)
        await world.registry.deploy("doubler", 2)
        await serves(first, 2)
        await eventually(lambda: world.triton.loaded == {"doubler--v2"}, description="version 1 is unloaded")
