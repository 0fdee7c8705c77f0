"""The reconciler beside slow, full and broken disks, and faults of our own."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from lepton_ai.errors import Unavailable
from lepton_ai.testing import eventually
from services.inference.lifecycle.deployments import Memory, MemoryFile
from services.inference.routing.routes import ModelRoutes
from tests.replica import Replica
from tests.unit.inference.lifecycle.world import World, memory_of, serves


class TestSlowDisks:
    async def test_a_disk_that_hangs_does_not_hold_up_where_calls_go(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mended = threading.Event()
        write = MemoryFile.write

        def write_once_mended(file: MemoryFile, memory: Memory) -> None:
            assert mended.wait(30)
            write(file, memory)

        monkeypatch.setattr(MemoryFile, "write", write_once_mended)
        async with world.replica() as replica:
            await world.registry.deploy("doubler", 1)
            await serves(replica, 1)
            await world.registry.deploy("doubler", 2)
            await serves(replica, 2)
            assert await replica.ask() == [[1, 3, 5, 7]]
            mended.set()
            await eventually(lambda: "wanted" in memory_of(world), description="it is remembered")

    async def test_what_a_full_disk_could_not_keep_is_kept_once_there_is_room(
        self, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        failures = iter(range(1))
        write = MemoryFile.write

        def write_after_failing(file: MemoryFile, memory: Memory) -> None:
            if next(failures, None) is not None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(file, memory)

        monkeypatch.setattr(MemoryFile, "write", write_after_failing)
        async with world.replica() as replica:
            await world.registry.deploy("doubler", 1)
            await serves(replica, 1)
            await eventually(lambda: "doubler" in memory_of(world), description="it is remembered")
        assert "No space left on device. It is tried again" in caplog.text

    async def test_it_is_settled_only_when_calls_arrive(self, world: World, replica: Replica) -> None:
        await world.registry.deploy("doubler", 1)
        await eventually(lambda: replica.reconciler.settled and bool(replica.routes.models()), description="settled")
        assert await replica.ask() == [[1, 3, 5, 7]]


class TestFaultsOfOurOwn:
    """What nobody expects costs a line in the log, and neither a loop nor a version."""

    async def test_a_pass_that_fails_is_not_the_last(self, world: World, replica: Replica) -> None:
        replace, failures = replica.routes.replace, [ValueError("poison")] * 2

        def fail_first(models: Mapping[str, ModelRoutes]) -> None:
            if failures:
                raise failures.pop()
            replace(models)

        replica.routes.replace = fail_first  # type: ignore[method-assign]
        await world.registry.deploy("doubler", 1)
        await serves(replica, 1)

    @pytest.mark.parametrize("error", [ValueError("poison"), OSError("disk full"), Unavailable("away")])
    async def test_a_version_that_cannot_be_brought_up_is_tried_again(self, world: World, error: Exception) -> None:
        async with world.replica() as replica:
            load, failures = world.triton.load, [error]

            async def fail_first(name: str, **options: Any) -> None:
                if failures:
                    raise failures.pop()
                await load(name, **options)

            world.triton.load = fail_first  # type: ignore[method-assign]
            await world.registry.deploy("doubler", 1)
            await serves(replica, 1)

    async def test_a_version_whose_removal_fails_is_removed_all_the_same(self, world: World, replica: Replica) -> None:
        await world.registry.deploy("doubler", 1)
        await serves(replica, 1)
        unload, failures = world.triton.unload, [ValueError("poison")] * 2

        async def fail_first(name: str, **options: Any) -> None:
            if failures:
                raise failures.pop()
            await unload(name, **options)

        world.triton.unload = fail_first  # type: ignore[method-assign]
        await world.registry.deploy("doubler", 2)
        await serves(replica, 2)
        await eventually(lambda: replica.state_of(1) == "GONE", description="version 1 is gone")
        await eventually(lambda: world.triton.loaded == {"doubler--v2"}, description="from Triton, too")
