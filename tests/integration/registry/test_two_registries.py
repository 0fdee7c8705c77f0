"""Two registries on one PostgreSQL and one place for files: both serve, one leads, and the other takes over."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import grpc
import pytest
from google.protobuf import json_format

from lepton_ai.local.programs.etcd import running_etcd
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.discovery.records import encode_serving_state, serving_key
from lepton_ai.mesh.discovery.state import DEPLOYMENTS
from lepton_ai.testing import eventually
from lepton_ai.v1 import health_pb2
from lepton_ai.v1 import registry_pb2 as pb
from lepton_ai.v1.common_pb2 import ModelRef
from tests.integration.registry.process import RegistryProcess, registry_process
from tests.integration.registry.served import TIMEOUT_S, download, push
from tests.sample_packages import onnx_package

NAME, REPLICA = "doubler", "127.0.0.1:9"
SHARES = (500, 2500, 5000)
TAKEOVER_S = 10.0


@dataclass
class Pair:
    """Two registries, the leader first, and the etcd that they publish to."""

    leader: RegistryProcess
    other: RegistryProcess
    state: EtcdStore
    database_url: str

    async def audit(self) -> list[tuple[str, dict[str, object]]]:
        connection = await asyncpg.connect(self.database_url)
        try:
            rows = await connection.fetch("SELECT action, after FROM audit ORDER BY id")
        finally:
            await connection.close()
        return [(row["action"], json.loads(row["after"] or "null") or {}) for row in rows]

    async def published(self) -> pb.Deployment:
        return json_format.Parse(await self.state.get(f"{DEPLOYMENTS}{NAME}") or b"{}", pb.Deployment())


def leads(process: RegistryProcess) -> bool:
    """Whether its log ends with the lead in its hands."""
    said = [line for line in process.log.read_text(encoding="utf-8").splitlines() if "this process leads" in line]
    return bool(said) and "no longer" not in said[-1]


@pytest.fixture
async def pair(tmp_path: Path, database_url: str) -> AsyncIterator[Pair]:
    async with running_etcd(tmp_path / "etcd") as etcd, AsyncExitStack() as stack:
        settings = {
            "database_url": database_url,
            "blobs_url": str(tmp_path / "blobs"),
            "etcd_address": etcd.address,
            "rollout_interval_s": "0.1",
        }
        processes = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            processes.append(await stack.enter_async_context(registry_process(tmp_path / name / "data", **settings)))
        await eventually(
            lambda: any(map(leads, processes)), timeout_s=TAKEOVER_S, description="one of them leads", interval_s=0.05
        )
        processes.sort(key=leads, reverse=True)
        state = EtcdStore(etcd.address)
        yield Pair(processes[0], processes[1], state, database_url)
        await state.close()


async def prepare(pair: Pair, tmp_path: Path) -> None:
    """Two versions, of which the first is served; a replica says that it serves both."""
    for number in (1, 2):
        await push(pair.leader.stub, onnx_package(tmp_path / str(number), name=NAME, description=str(number)))
    await pair.other.stub.Deploy(pb.DeployRequest(model=ModelRef(name=NAME, version=1)), timeout=TIMEOUT_S)
    serving = health_pb2.ServingState(replica=REPLICA)
    for version in (1, 2):
        serving.versions.add(model=NAME, version=version, state=health_pb2.VERSION_STATE_SERVING)
    await pair.state.put(serving_key(REPLICA), encode_serving_state(serving))


async def newest_rollout(process: RegistryProcess) -> pb.Rollout:
    listed = await process.stub.ListRollouts(pb.ListRolloutsRequest(limit=1), timeout=TIMEOUT_S)
    return listed.rollouts[0]


async def test_each_sees_at_once_what_was_changed_through_the_other(pair: Pair, tmp_path: Path) -> None:
    await prepare(pair, tmp_path)
    for process in (pair.leader, pair.other):
        (model,) = (await process.stub.ListModels(pb.ListModelsRequest(), timeout=TIMEOUT_S)).models
        assert [version.version for version in model.versions] == [2, 1]
        assert model.deployment == await pair.published()
        file = model.versions[0].manifest.files[0]
        assert len(await download(process.stub, file.sha256)) == file.size_bytes
    again = await push(pair.other.stub, onnx_package(tmp_path / "again", name=NAME, description="1"))
    assert (again.version.version, again.created) == (1, False)


async def test_pushes_of_the_same_through_both_make_one_version(pair: Pair, tmp_path: Path) -> None:
    packages = [onnx_package(tmp_path / name, name=NAME) for name in ("x", "y")]
    answers = await asyncio.gather(*(push(p.stub, k) for p, k in zip((pair.leader, pair.other), packages, strict=True)))
    assert [answer.version.version for answer in answers] == [1, 1]
    assert sorted(answer.created for answer in answers) == [False, True]


async def test_a_killed_leaders_rollout_and_pushes_go_on_at_the_other(pair: Pair, tmp_path: Path) -> None:
    await prepare(pair, tmp_path)
    plan = pb.RolloutPlan(shares=SHARES, step_s=0.6, bake_s=0.2, unjudged=True)
    request = pb.StartRolloutRequest(model=ModelRef(name=NAME, version=2), plan=plan)
    await pair.other.stub.StartRollout(request, timeout=TIMEOUT_S)
    await eventually(
        lambda: _share_reached(pair, SHARES[0]), timeout_s=TIMEOUT_S, interval_s=0.05, description="the first step"
    )
    pushing = [
        asyncio.create_task(push(process.stub, onnx_package(tmp_path / f"more{number}", description=f"more {number}")))
        for number, process in enumerate((pair.leader, pair.other))
    ]
    await asyncio.sleep(0.1)  # somewhere in the middle of the pushes
    pair.leader.process.kill()
    began_s = time.monotonic()
    with contextlib.suppress(grpc.aio.AioRpcError):
        await pushing[0]
    assert (await pushing[1]).created
    await eventually(lambda: leads(pair.other), timeout_s=TAKEOVER_S, description="the other leads")
    assert time.monotonic() - began_s < TAKEOVER_S

    async def promoted() -> bool:
        return (await newest_rollout(pair.other)).state == pb.ROLLOUT_STATE_PROMOTED

    await eventually(promoted, timeout_s=20, interval_s=0.1, description="the rollout comes to its end")
    assert _shares(await pair.audit()) == [*SHARES, 10_000]
    production = next(route for route in (await pair.published()).routes if route.alias == "production")
    assert [(target.version, target.weight) for target in production.targets] == [(2, 100)]
    again = await push(pair.other.stub, onnx_package(tmp_path / "more0again", description="more 0"))
    assert again.version.manifest.files


async def _share_reached(pair: Pair, share: int) -> bool:
    return (await newest_rollout(pair.other)).share >= share


def _shares(audit: list[tuple[str, dict[str, object]]]) -> list[int]:
    """The shares that the new version had, one after the other."""
    shares = []
    for action, after in audit:
        if action == "rollout_promoted" and 10_000 not in shares:
            shares.append(10_000)
        elif action == "rollout_running":
            deployment = json_format.ParseDict(after, pb.Deployment())
            route = next(each for each in deployment.routes if each.alias == "production")
            shares.append(next(target.weight for target in route.targets if target.version == route.candidate))
    return shares


async def test_a_leader_that_stands_still_is_followed_by_the_other_and_does_not_act_again(
    pair: Pair, tmp_path: Path
) -> None:
    await prepare(pair, tmp_path)
    pair.leader.process.send_signal(signal.SIGSTOP)
    await eventually(lambda: leads(pair.other), timeout_s=20, description="the other leads")
    await pair.other.stub.Deploy(pb.DeployRequest(model=ModelRef(name=NAME, version=2)), timeout=TIMEOUT_S)
    pair.leader.process.send_signal(signal.SIGCONT)
    await eventually(lambda: not leads(pair.leader), timeout_s=20, description="it has noticed")
    assert leads(pair.other)
    (model,) = (await pair.leader.stub.ListModels(pb.ListModelsRequest(), timeout=TIMEOUT_S)).models
    assert model.deployment == await pair.published()
    assert [version.version for version in model.deployment.versions] == [2]
