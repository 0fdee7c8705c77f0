"""A replica's control plane on the real Triton and etcd: what is killed comes back by itself, and in time."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from lepton_ai.errors import LeptonError
from lepton_ai.local.programs.etcd import LocalEtcd, running_etcd
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.testing import eventually
from lepton_ai.testing.running_triton import LocalTriton
from services.inference.triton.client import Triton
from services.inference.triton.errors import smells_dead
from services.inference.triton.restart import TritonRestart
from tests.replica import ADDRESS, FakeRegistry, Replica, make_replica, push_versions
from tests.sample_packages import onnx_bytes, onnx_package

_log = logging.getLogger(__name__)
RIGHT = [[0, 2, 4, 6]]  # the models in sample_packages double


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[LocalEtcd]:
    async with running_etcd(tmp_path / "etcd") as etcd:
        yield etcd


@pytest.fixture
async def registry(etcd: LocalEtcd, tmp_path: Path) -> AsyncIterator[FakeRegistry]:
    store = EtcdStore(etcd.address)
    registry = FakeRegistry(store)
    push_versions(registry, tmp_path / "pushed", 2)
    yield registry
    await store.close()


class Setting:
    """Everything that a replica needs, so that it can be stopped and started again."""

    def __init__(self, directory: Path, etcd: LocalEtcd, registry: FakeRegistry, local_triton: LocalTriton) -> None:
        self.directory = directory
        self.etcd = etcd
        self.registry = registry
        self.local_triton = local_triton

    @asynccontextmanager
    async def replica(self, **options: Any) -> AsyncIterator[Replica]:
        store, triton = EtcdStore(self.etcd.address), Triton(self.local_triton.address)
        replica = make_replica(
            self.directory,
            store,
            triton,
            registry=self.registry,
            model_repository=self.local_triton.model_repository,
            restart_triton=TritonRestart(self.local_triton.pid_file, self.directory / "ended"),
            **options,
        )
        await replica.reconciler.start(ADDRESS)
        try:
            yield replica
        finally:
            await replica.reconciler.close()
            await triton.close()
            await store.close()


@pytest.fixture
def setting(tmp_path: Path, etcd: LocalEtcd, registry: FakeRegistry, local_triton: LocalTriton) -> Setting:
    return Setting(tmp_path, etcd, registry, local_triton)


async def answers(replica: Replica, *, timeout_s: float, description: str) -> float:
    """Wait for a right answer; returns, and logs for those who want to know, after how many seconds it came."""
    began_s = time.monotonic()

    async def right() -> bool:
        return await replica.ask(timeout_s=3.0) == RIGHT

    await eventually(right, timeout_s=timeout_s, description=description)
    seconds = time.monotonic() - began_s
    _log.info("%s: right answer after %.2f s", description, seconds)
    return seconds


async def test_a_deployment_is_served_and_a_broken_one_leaves_the_old_version_serving(
    setting: Setting, tmp_path: Path
) -> None:
    async with setting.replica(cores=2) as replica:
        await setting.registry.deploy("doubler", 1)
        await answers(replica, timeout_s=10, description="from deploy to answer")
        broken = onnx_package(tmp_path / "broken", model=onnx_bytes()[:-20], description="version 3")
        await setting.registry.deploy("doubler", setting.registry.push(broken))
        await eventually(lambda: replica.state_of(3) == "FAILED", timeout_s=10, description="version 3 fails")
        assert "The onnx model cannot be opened" in replica.status(3).message
        assert (replica.version(), await replica.ask()) == (1, RIGHT)
        await setting.registry.deploy("doubler", 2)
        await eventually(lambda: replica.version() == 2, timeout_s=10, description="version 2 serves")
        assert await replica.ask() == RIGHT

        async def only_two() -> bool:
            index = await replica.triton.index()
            return [name for name, state in index.items() if state == "READY"] == ["doubler--v2"]

        await eventually(only_two, timeout_s=10, description="all others are unloaded")

        async def published_two() -> bool:
            return [status.version for status in (await replica.published()).versions] == [2]

        await eventually(published_two, timeout_s=5, description="the replica says that it serves only version 2")


async def test_a_killed_triton_is_noticed_in_a_second_and_serves_again_soon_after_it_is_back(setting: Setting) -> None:
    async with setting.replica(cores=2) as replica:
        await setting.registry.deploy("doubler", 1, 2, production={1: 1}, canary={2: 1})
        await answers(replica, timeout_s=10, description="serves")
        began_s = time.monotonic()
        await setting.local_triton.kill()
        await eventually(lambda: replica.version() == 0, timeout_s=2, description="the death is noticed")
        _log.info("killed Triton noticed: %.2f s", time.monotonic() - began_s)
        await setting.local_triton.start()
        seconds = await answers(replica, timeout_s=10, description="Triton ready to right answer")
        assert seconds < 10
        await eventually(lambda: replica.state_of(2) == "SERVING", timeout_s=10, description="both are back")


@pytest.mark.parametrize("reported", [False, True], ids=["by probes alone", "by the data plane's report"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda number: number.name)
async def test_a_dead_stub_is_noticed_and_replaced_within_five_seconds(
    setting: Setting, number: signal.Signals, reported: bool
) -> None:
    async with setting.replica() as replica:
        await setting.registry.deploy("doubler", 1)
        await answers(replica, timeout_s=10, description="serves")
        loaded = replica.loaded()
        (stub,) = setting.local_triton.stubs("doubler--v1")
        began_s = time.monotonic()
        stub.send_signal(number)
        if reported:
            with pytest.raises(LeptonError) as caught:
                await replica.ask()
            assert smells_dead(caught.value)
            loaded.report_failure(caught.value)
        await eventually(
            lambda: any(each.pid != stub.pid for each in setting.local_triton.stubs("doubler--v1")),
            timeout_s=5,
            description="another process runs the model",
        )
        assert await replica.triton.ready()
        await answers(replica, timeout_s=5, description="serves again")
        seconds = time.monotonic() - began_s
        _log.info("death of the stub to right answer: %.2f s", seconds)
        assert seconds < 5


async def test_one_dead_stub_of_two_is_replaced_too(setting: Setting) -> None:
    async with setting.replica(cores=2) as replica:
        await setting.registry.deploy("doubler", 1)
        await answers(replica, timeout_s=10, description="serves")
        stubs = setting.local_triton.stubs("doubler--v1")
        assert len(stubs) == 2
        stubs[0].kill()
        await eventually(
            lambda: len([each for each in setting.local_triton.stubs("doubler--v1") if each not in stubs]) == 2,
            timeout_s=10,
            description="both are new",
        )
        for _ in range(4):
            await answers(replica, timeout_s=5, description="serves")


async def test_a_restarted_service_adopts_what_triton_has_loaded(setting: Setting) -> None:
    async with setting.replica() as replica:
        await setting.registry.deploy("doubler", 1)
        await answers(replica, timeout_s=10, description="serves")
        (stub,) = setting.local_triton.stubs("doubler--v1")
    async with setting.replica() as replica:
        await answers(replica, timeout_s=5, description="service restart to answer")
        assert setting.local_triton.stubs("doubler--v1") == [stub]


async def test_without_etcd_it_goes_on_and_even_starts_and_afterwards_it_follows_again(setting: Setting) -> None:
    async with setting.replica() as replica:
        await setting.registry.deploy("doubler", 1)
        await answers(replica, timeout_s=10, description="serves")
        await eventually((setting.directory / "cache/deployments.json").exists, description="it is remembered")
        await setting.etcd.kill()
        await setting.local_triton.kill()
        await setting.local_triton.start()
        await answers(replica, timeout_s=10, description="serves without etcd")
    setting.registry.up = False
    async with setting.replica() as replica:
        await answers(replica, timeout_s=10, description="starts and serves without etcd and registry")
        await setting.etcd.start()
        setting.registry.up = True
        await setting.registry.deploy("doubler", 2)
        await eventually(lambda: replica.version() == 2, timeout_s=15, description="it follows again")
        await eventually(replica.published, timeout_s=15, description="it is published again")


async def test_triton_can_be_ended_through_its_pid_file(setting: Setting) -> None:
    pid = setting.local_triton.pid
    restart = TritonRestart(setting.local_triton.pid_file, setting.directory / "ended")
    await restart()
    await eventually(lambda: not _lives(pid), timeout_s=5, description="Triton has ended")
    with pytest.raises(LeptonError, match="restarted for a model just before"):
        await restart()


def _lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
