"""Whatever happens in whatever order: once the trouble ends, exactly what is deployed serves."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from lepton_ai.errors import LeptonError
from lepton_ai.testing import eventually
from services.inference.triton.backend import READY
from tests.replica import Replica
from tests.unit.inference.lifecycle.world import World

STEPS = 25


async def act(world: World, dice: random.Random) -> None:
    """One thing that happens: a wish, a fault, or the end of one."""
    version = dice.randint(1, 3)
    name = f"doubler--v{version}"
    match dice.randrange(9):
        case 0 | 1:
            world.state.up()
            await world.registry.deploy("doubler", version)
        case 2:
            world.state.up()
            await world.registry.deploy("doubler", 1, version, production={1: 1, version: 3})
        case 3:
            world.triton.break_load(name)
        case 4:
            world.triton.mend_load(name)
        case 5:
            world.triton.kill()
        case 6:
            world.triton.restart()
        case 7:
            world.triton.kill_stub(name)
        case 8:
            world.state.down()


async def end_trouble(world: World) -> set[int]:
    """Everything is whole again; returns the versions that must serve."""
    world.state.up()
    world.triton.restart()
    for version in (1, 2, 3):
        world.triton.mend_load(f"doubler--v{version}")
    await world.registry.publish("doubler")
    return {version.version for version in world.registry.deployments["doubler"].versions}


def check_routes(replica: Replica) -> None:
    """At every moment each route leads to a version that this replica says serves."""
    for model in replica.routes.models():
        for version, loaded in model.serving.items():
            assert loaded.version == version
        for alias in model.aliases:
            try:
                loaded = replica.loaded(alias=alias)
            except LeptonError as error:
                assert error.retry_after_s  # wanted, only not now
            else:
                assert loaded.version in model.serving


@pytest.mark.parametrize("seed", range(8))
async def test_it_converges(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    world = World(tmp_path)
    async with world.replica() as replica:
        await world.registry.deploy("doubler", 1)
        for _ in range(STEPS):
            await act(world, dice)
            seen = len(world.triton.requests) + dice.randint(0, 2)
            for _ in range(dice.randint(0, 20)):
                await _breathe()
                check_routes(replica)
                if len(world.triton.requests) > seen:
                    break
        wanted = await end_trouble(world)

        async def converged() -> bool:
            check_routes(replica)
            index = await world.triton.index()
            loaded = {name for name, state in index.items() if state == READY}
            serving = {status.version for status in replica.reconciler.serving_state().versions}
            targets = replica.routes.models()[0].aliases["production"]
            return (
                replica.reconciler.settled
                and loaded == {f"doubler--v{version}" for version in wanted}
                and serving == wanted == {target.version for target in targets}
                and all(replica.state_of(version) == "SERVING" for version in wanted)
            )

        await eventually(converged, timeout_s=20, description=f"versions {wanted} serve, and nothing else")
        assert await replica.ask() == [[1, 3, 5, 7]]


async def _breathe() -> None:
    """Let everything that is ready run, and a little time pass."""
    await asyncio.sleep(0.002)
