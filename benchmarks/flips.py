"""How soon a change of weights is in effect on every replica. Registry and etcd are real, the Tritons are not."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import grpc

from benchmarks.report import Report
from lepton_ai.local.programs.etcd import running_etcd
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.discovery.state import Watch
from lepton_ai.testing import eventually
from lepton_ai.testing.fake_triton import FakeTriton
from lepton_ai.v1 import common_pb2, registry_pb2
from services.inference.lifecycle.control import ControlOptions, make_reconciler
from services.inference.lifecycle.reconciler import Reconciler
from services.inference.routing.routes import ModelRoutes, Routes
from tests.integration.registry.served import Served, push, serving
from tests.sample_packages import onnx_package

REPLICAS = (1, 4, 16)
_ROUNDS = 10
_NAME = "doubler"
_TIMEOUT_S = 60.0
T = TypeVar("T")


@dataclass
class _Replica:
    """The control plane of a replica, and when it last changed where calls go."""

    state: EtcdStore
    reconciler: Reconciler
    weights: dict[int, int] = field(default_factory=dict)
    changed_s: float = 0.0

    def follow(self, models: Mapping[str, ModelRoutes]) -> None:
        """Note new routes."""
        targets = models[_NAME].aliases["production"] if _NAME in models else ()
        weights = {target.version: target.weight for target in targets}
        if weights != self.weights:
            self.weights, self.changed_s = weights, time.perf_counter()


class _Registry:
    """The pool of registries that a replica asks, which is one."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def call(
        self, invoke: Callable[[grpc.aio.Channel, float], Awaitable[T]], *, timeout_s: float, idempotent: bool = True
    ) -> T:
        """Ask it."""
        return await invoke(self._channel, timeout_s)


def measure() -> list[Report]:
    """Flip back and forth over 1, 4 and 16 replicas in one process."""
    rows = [asyncio.run(_row(replicas)) for replicas in REPLICAS]
    columns = ("replicas", "put → watch, ms", "promote, ms", "rollback, ms", "slowest, ms", "of the watch")
    note = (
        f"From the call until the last replica routes by the new weights; median of {_ROUNDS}, and the slowest. Beside "
        "it what etcd alone takes from a put to the last watcher. All replicas share one process."
    )
    return [Report("Change of weights over replicas", columns, rows, note)]


async def _row(replicas: int) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="lepton-flips-") as name:
        directory = Path(name)
        async with (
            running_etcd(directory / "etcd") as etcd,
            _state(etcd.address) as state,
            serving(directory / "registry", state, rollout_interval_s=0.05) as registry,
            _replicas(directory, etcd.address, registry, replicas) as started,
        ):
            bare_s = await _watch_s(state, etcd.address, replicas)
            promotes_s, rollbacks_s = await _flips(registry, started, directory)
    promote, rollback = statistics.median(promotes_s), statistics.median(rollbacks_s)
    slowest = max(*promotes_s, *rollbacks_s)
    ratio = statistics.median([*promotes_s, *rollbacks_s]) / bare_s
    return [str(replicas), *(f"{1e3 * each:.1f}" for each in (bare_s, promote, rollback, slowest)), f"{ratio:.1f} ×"]


@asynccontextmanager
async def _state(etcd: str) -> AsyncIterator[EtcdStore]:
    store = EtcdStore(etcd)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def _replicas(directory: Path, etcd: str, registry: Served, count: int) -> AsyncIterator[list[_Replica]]:
    started = []
    try:
        for number in range(count):
            state, routes = EtcdStore(etcd), Routes()
            place = directory / f"replica-{number}"
            options = ControlOptions(place / "models", place / "cache", "python", "cpu", cores=1)
            pool = _Registry(registry.channel)
            reconciler = make_reconciler(state, pool, triton=FakeTriton(), routes=routes, options=options)
            replica = _Replica(state, reconciler)
            routes.on_replace(replica.follow)
            await reconciler.start(f"127.0.0.1:{10_000 + number}")
            started.append(replica)
        yield started
    finally:
        for replica in started:
            await replica.reconciler.close()
            await replica.state.close()


async def _flips(registry: Served, replicas: list[_Replica], directory: Path) -> tuple[list[float], list[float]]:
    for number in (1, 2):
        await push(registry.stub, onnx_package(directory / str(number), name=_NAME, description=f"version {number}"))
    await registry.stub.Deploy(registry_pb2.DeployRequest(model=common_pb2.ModelRef(name=_NAME, version=1)))
    await _routed(replicas, {1})
    promotes_s, rollbacks_s = [], []
    for _ in range(_ROUNDS):
        plan = registry_pb2.RolloutPlan(shares=[5000], step_s=3600, bake_s=3600, unjudged=True)
        start = registry_pb2.StartRolloutRequest(model=common_pb2.ModelRef(name=_NAME, version=2), plan=plan)
        await registry.stub.StartRollout(start)
        await _routed(replicas, {1, 2})
        promote = registry_pb2.ControlRolloutRequest(model=_NAME, action=registry_pb2.ROLLOUT_ACTION_PROMOTE)
        promotes_s.append(await _timed(registry.stub.ControlRollout(promote), replicas, {2}))
        rollback = registry.stub.Rollback(registry_pb2.RollbackRequest(model=_NAME))
        rollbacks_s.append(await _timed(rollback, replicas, {1}))
    return promotes_s, rollbacks_s


async def _timed(call: Awaitable[object], replicas: list[_Replica], versions: set[int]) -> float:
    begun_s = time.perf_counter()
    await call
    await _routed(replicas, versions)
    return max(replica.changed_s for replica in replicas) - begun_s


async def _routed(replicas: list[_Replica], versions: set[int]) -> None:
    description = f"{len(replicas)} replicas route to {versions}"
    await eventually(
        lambda: all(set(replica.weights) == versions for replica in replicas),
        timeout_s=_TIMEOUT_S,
        interval_s=0.001,
        description=description,
    )


async def _watch_s(state: EtcdStore, etcd: str, watchers: int) -> float:
    """The median time from a put until the last of so many watchers has seen it."""
    stores = [EtcdStore(etcd) for _ in range(watchers)]
    watches = [await store.watch("/flips/") for store in stores]
    times_s = []
    for number in range(_ROUNDS):
        value = str(number).encode()
        begun_s = time.perf_counter()
        await state.put("/flips/key", value)
        await eventually(
            _seeing(watches, value),
            timeout_s=_TIMEOUT_S,
            interval_s=0.001,
            description="every watcher has seen it",
        )
        times_s.append(time.perf_counter() - begun_s)
    for watch in watches:
        await watch.close()
    for store in stores:
        await store.close()
    return statistics.median(times_s)


def _seeing(watches: Sequence[Watch], value: bytes) -> Callable[[], bool]:
    return lambda: all(watch.entries.get("/flips/key") == value for watch in watches)
