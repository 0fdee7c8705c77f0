"""A platform of one replica on a fake Triton, for tests of the reconciler."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lepton_ai.testing import MemoryStore, eventually
from lepton_ai.testing.fake_triton import FakeTriton
from tests.replica import ADDRESS, FakeRegistry, Replica, make_replica, push_versions

QUICK = {"probe_interval_s": 0.1, "triton_poll_s": 0.02}


class World:
    """One platform of one replica, which may be stopped and started again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = MemoryStore()
        self.triton = FakeTriton()
        self.registry = FakeRegistry(self.state)
        self.restarts = 0
        push_versions(self.registry, directory / "pushed", 3)

    @asynccontextmanager
    async def replica(
        self, *, address: str = ADDRESS, state: MemoryStore | None = None, **options: Any
    ) -> AsyncIterator[Replica]:
        """`address` of a further worker of the replica; `state` when it does not see what the others see."""
        replica = make_replica(
            self.directory,
            state or self.state.twin(),
            self.triton,
            registry=self.registry,
            restart_triton=self._restart_triton,
            **(QUICK | options),
        )
        await replica.reconciler.start(address)
        try:
            yield replica
        finally:
            await replica.reconciler.close()

    async def _restart_triton(self) -> None:
        self.restarts += 1
        self.triton.restart()


def memory_of(world: World) -> str:
    file = world.directory / "cache/deployments.json"
    return file.read_text(encoding="utf-8") if file.exists() else ""


async def serves(replica: Replica, version: int) -> None:
    await eventually(lambda: replica.version() == version, description=f"production is version {version}")
