"""Ways to hurt a running platform and to see that it has recovered; only what its own supervisor started is hit."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import psutil
from prometheus_client.parser import text_string_to_metric_families

from lepton_ai.local.processes.run_directory import RunDirectory
from lepton_ai.local.processes.supervision import Supervisor
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.testing import eventually
from lepton_ai.v1 import health_pb2
from tests.chaos.load import Ask
from tests.platform import Platform

RECOVERY_S = 15.0
_STOP_S = 20.0


async def kill(*processes: psutil.Process) -> None:
    """kill -9; returns when they are gone."""
    for process in processes:
        process.kill()
    await until_gone(*processes)


async def until_gone(*processes: psutil.Process) -> None:
    """Wait until processes that were told to end have done so."""
    await eventually(lambda: all(map(_is_gone, processes)), timeout_s=_STOP_S, description="the processes are gone")


def _is_gone(process: psutil.Process) -> bool:
    """Triton does not reap its stubs: they stay as zombies."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def hanging(process: psutil.Process) -> Iterator[None]:
    """The process does nothing, though its connections stay open, while the block runs."""
    process.suspend()
    try:
        yield
    finally:
        process.resume()


@asynccontextmanager
async def stopped(platform: Platform, name: str) -> AsyncIterator[None]:
    """The process is stopped and not restarted while the block runs."""
    supervisor = Supervisor(RunDirectory(platform.home))
    await asyncio.to_thread(supervisor.stop, [name], timeout_s=_STOP_S)
    assert not any(status.name == name and status.alive for status in supervisor.processes())
    try:
        yield
    finally:
        await asyncio.to_thread(supervisor.resume, [name])


async def restart(platform: Platform, name: str) -> None:
    """SIGTERM; returns when the next process of that name and all others are ready."""
    old = platform.process(name)
    old.terminate()
    await until_gone(old)
    await until_ready(platform)


async def until_ready(platform: Platform) -> float:
    """Wait until every process says that it is ready; returns after how many seconds."""
    return await seconds_until(lambda: _is_ready(platform), description="every process is ready")


async def _is_ready(platform: Platform) -> bool:
    return await asyncio.to_thread(platform.is_ready)


async def until_healthy(platform: Platform, *, within_s: float = 20.0) -> None:
    """Wait until the platform is as if nothing had happened: all processes, replicas and models."""
    await eventually(lambda: _is_ready(platform), timeout_s=within_s, description="every process is ready")
    async with platform.client(timeout_s=2.0) as client:

        async def healthy() -> bool:
            status = await client.status()
            assert status.condition == health_pb2.CONDITION_HEALTHY, list(status.problems)
            return True

        await eventually(healthy, timeout_s=within_s, interval_s=0.1, description="the platform says it is healthy")


async def seconds_until(ask: Ask, *, within_s: float = RECOVERY_S, description: str) -> float:
    """How long it takes until a call, made again and again, succeeds."""
    began_s = time.monotonic()

    async def succeeds() -> bool:
        return await ask() is not False

    await eventually(succeeds, timeout_s=within_s, interval_s=0.02, description=description)
    return time.monotonic() - began_s


@asynccontextmanager
async def shared_state(platform: Platform) -> AsyncIterator[EtcdStore]:
    """A connection to the platform's etcd, to see what really stands there."""
    store = EtcdStore(platform.state.addresses["etcd"])
    try:
        yield store
    finally:
        await store.close()


async def repeated_calls(platform: Platform) -> Counter[str]:
    """How many hedges and retries the busiest inference replica has met since it started."""
    names = [name for name in platform.state.ports if name.startswith("inference") and name.endswith("-metrics")]
    counts: Counter[str] = Counter()
    for name in names:
        counts |= await asyncio.to_thread(_repeats, platform.state.ports[name])
    return counts


def _repeats(port: int) -> Counter[str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
            families = list(text_string_to_metric_families(page.read().decode()))
    except OSError:  # it is starting
        return Counter()
    samples = (sample for family in families if family.name == "lepton_rpc_server_repeats" for sample in family.samples)
    return Counter({sample.labels["kind"]: int(sample.value) for sample in samples if sample.name.endswith("_total")})


async def keys(platform: Platform) -> Mapping[str, bytes]:
    """Everything in etcd now. Raises Unavailable while it is away."""
    async with shared_state(platform) as store:
        return await store.list("/lepton/")
