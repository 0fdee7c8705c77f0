"""kill -9 in the middle of rollouts, two hundred times: each goes on where it was, and no step is ever left out."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf import json_format

from lepton_ai.local.programs.etcd import running_etcd
from lepton_ai.local.programs.ports import PortWish, choose_ports
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.discovery.records import encode_serving_state, serving_key
from lepton_ai.mesh.discovery.state import DEPLOYMENTS
from lepton_ai.v1 import health_pb2
from lepton_ai.v1 import registry_pb2 as pb
from lepton_ai.v1.common_pb2 import ModelRef
from lepton_ai.v1.registry_pb2_grpc import RegistryServiceStub
from tests.integration.registry.forked import Nursery, nursery
from tests.integration.registry.served import push
from tests.sample_packages import onnx_package

if TYPE_CHECKING:
    from lepton_ai.v1.registry_pb2_grpc import RegistryServiceAsyncStub

KILLS = 200
NAME, REPLICA = "doubler", "127.0.0.1:9"
SHARES = (500, 2500, 5000)
VALID = {(10_000,), (100,), *((share, 10_000 - share) for share in SHARES), *((10_000 - s, s) for s in SHARES)}
PLAN = pb.RolloutPlan(shares=SHARES, step_s=0.06, bake_s=0.05, unjudged=True)


@dataclass
class Bench:
    """A registry that is killed and started again on one directory, and the etcd that it publishes to."""

    births: Nursery
    data: Path
    settings: dict[str, str]
    state: EtcdStore
    stub: RegistryServiceAsyncStub
    process: int = 0

    async def start(self) -> None:
        self.process = await self.births.start(self.data, **self.settings)

    async def kill(self) -> None:
        await self.births.kill(self.process)

    async def newest(self) -> pb.Rollout:
        listed = await self.call(lambda: self.stub.ListRollouts(pb.ListRolloutsRequest(limit=1), timeout=5.0))
        return listed.rollouts[0] if listed.rollouts else pb.Rollout()

    async def call(self, invoke: Callable[[], Awaitable[pb.ListRolloutsResponse]]) -> pb.ListRolloutsResponse:
        """Ask as soon as it answers."""
        async with asyncio.timeout(20.0):
            while True:
                try:
                    return await invoke()
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                await asyncio.sleep(0.005)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    port = choose_ports([PortWish("registry")])["registry"]
    settings = {"port": str(port), "republish_interval_s": "0.1", "rollout_interval_s": "0.02"}
    async with running_etcd(tmp_path / "etcd") as etcd, nursery(tmp_path / "registry.log") as births:
        state = EtcdStore(etcd.address)
        settings["etcd_address"] = etcd.address
        options = [("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 20)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            made = Bench(births, tmp_path / "data", settings, state, RegistryServiceStub(channel))
            await made.start()
            await made.newest()
            for number in (1, 2):
                await push(made.stub, onnx_package(tmp_path / str(number), name=NAME, description=str(number)))
            await made.stub.Deploy(pb.DeployRequest(model=ModelRef(name=NAME, version=1)))
            serving = health_pb2.ServingState(replica=REPLICA)
            for version in (1, 2):
                serving.versions.add(model=NAME, version=version, state=health_pb2.VERSION_STATE_SERVING)
            await state.put(serving_key(REPLICA), encode_serving_state(serving))
            yield made
        await state.close()


async def published(state: EtcdStore) -> tuple[int, ...]:
    """The weights of the production route, newest version's last."""
    deployment = json_format.Parse(await state.get(f"{DEPLOYMENTS}{NAME}") or b"", pb.Deployment())
    production = next(route for route in deployment.routes if route.alias == "production")
    return tuple(target.weight for target in sorted(production.targets, key=lambda target: target.version))


@pytest.mark.timeout(300)
async def test_killed_at_two_hundred_moments_rollouts_go_on_and_leave_out_no_step(bench: Bench, tmp_path: Path) -> None:
    dice = random.Random(11)
    for _ in range(KILLS):
        await asyncio.sleep(dice.random() * 0.15)
        await bench.kill()
        assert await published(bench.state) in VALID
        await bench.start()
        newest = await bench.newest()
        if newest.state in (pb.ROLLOUT_STATE_UNSPECIFIED, pb.ROLLOUT_STATE_PROMOTED) and not newest.baking:
            other = ModelRef(name=NAME, version=1 if newest.version == 2 else 2)
            await bench.stub.StartRollout(pb.StartRolloutRequest(model=other, plan=PLAN), timeout=10.0)
    await bench.kill()
    ended = check_audit(tmp_path / "data" / "registry.sqlite")
    assert ended >= 5, "enough rollouts have come to their end under fire"


def check_audit(database: Path) -> int:
    """Every rollout took each of its steps, in order, and each was kept as a decision. Returns how many have ended."""
    shares: dict[int, list[int]] = defaultdict(list)
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT action, after FROM audit ORDER BY id").fetchall()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        decided = connection.execute("SELECT share FROM rollout_decisions WHERE share > 0 ORDER BY id").fetchall()
    rollout = 0
    for action, after in rows:
        rollout += action == "rollout_start"
        if action == "rollout_running":
            (route,) = (each for each in json.loads(after)["routes"] if each["alias"] == "production")
            weights = {int(target["version"]): target["weight"] for target in route["targets"]}
            shares[rollout].append(weights[int(route["candidate"])])
        elif action == "rollout_promoted" and shares[rollout][-1:] != [10_000]:
            shares[rollout].append(10_000)
    ended = [steps for steps in shares.values() if steps[-1] == 10_000]
    assert all(steps == [*SHARES, 10_000][: len(steps)] for steps in shares.values()), shares
    assert [share for (share,) in decided] == [share for steps in shares.values() for share in steps]
    return len(ended)
