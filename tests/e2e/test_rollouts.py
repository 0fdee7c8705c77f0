"""Rollouts on the whole platform: shadows, A/B tests, what users say, and many deployments under load."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest

from examples.efficientnet_lite0 import NAME, photos, write_package
from lepton_ai import AsyncClient
from lepton_ai.client.control.deployments import Deployment
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.tensors import to_proto
from lepton_ai.v1 import common_pb2, inference_pb2, inference_pb2_grpc, registry_pb2
from tests.chaos.calls import ROWS, row_calls, rows_package
from tests.chaos.load import Load, load
from tests.chaos.rollouts import LONG_S, ROLLED_BACK, RUNNING, until_answered_by, until_state
from tests.platform import Platform

pytestmark = pytest.mark.e2e
PHOTOS = "efficientnet-lites"


@pytest.fixture
async def client(platform: Platform, tmp_path: Path) -> AsyncIterator[AsyncClient]:
    """A client; version 1 of the rows is served, and afterwards no rollout is under way."""
    async with platform.client() as client:
        await client.push(rows_package(tmp_path / "twice").directory)
        await client.deploy(f"{ROWS}@1")
        yield client
        newest = (await client.rollouts(ROWS))[:1]
        if newest and newest[0].state in (registry_pb2.ROLLOUT_STATE_WAITING, RUNNING, registry_pb2.ROLLOUT_STATE_HELD):
            await client.control_rollout(ROWS, "abort")
        await client.deploy(f"{ROWS}@1")


@pytest.fixture
async def thrice(client: AsyncClient, tmp_path: Path) -> int:
    """A version that works, and multiplies by 3."""
    return (await client.push(rows_package(tmp_path / "thrice", factor=3.0).directory)).version


async def test_a_shadow_answers_nobody_and_what_it_would_say_is_shown(client: AsyncClient, thrice: int) -> None:
    async with load(row_calls(client, factors={1: 2.0})) as running:
        await client.start_rollout(f"{ROWS}@{thrice}", shadow=100, step_s=8.0)
        held = await until_state(client, registry_pb2.ROLLOUT_STATE_HELD)
        await client.control_rollout(ROWS, "abort")
        await running.more(50)
    assert not running.failures
    distance = next(gate for gate in held.verdict.gates if gate.gate == "distance")
    assert distance.outcome == registry_pb2.VERDICT_OUTCOME_HARM
    assert float(distance.sentence.partition(" % of ")[0]) > 99, "all but rows of next to nothing"
    assert "too far from" in held.reason


async def test_a_shadow_that_answers_alike_goes_on_as_a_canary(client: AsyncClient, tmp_path: Path) -> None:
    again = rows_package(tmp_path / "again").directory
    (again / "README.md").write_text("the same model in another package")
    same = (await client.push(again)).version
    async with load(row_calls(client, factors={1: 2.0, same: 2.0}, max_rows=1)) as running:
        await client.start_rollout(f"{ROWS}@{same}", [30], shadow=100, step_s=8.0)
        await until_state(client, RUNNING, share=3000)
        await until_answered_by(client, {1: 2.0, same: 2.0}, {1, same})
    assert not running.failures


async def test_in_an_ab_test_a_user_stays_on_one_version(platform: Platform, client: AsyncClient, thrice: int) -> None:
    await client.start_rollout(f"{ROWS}@{thrice}", [50], sticky_by="user-id", step_s=LONG_S)
    await until_state(client, RUNNING)
    request = inference_pb2.PredictRequest(model=common_pb2.ModelRef(name=ROWS))
    request.tensors.append(to_proto("x", np.ones((1, 4), dtype=np.float32)))
    async with grpc.aio.insecure_channel(platform.addresses.inference) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)

        async def versions(*metadata: tuple[str, str]) -> set[int]:
            answers = [await stub.Predict(request, metadata=metadata, timeout=10) for _ in range(10)]
            return {answer.model_version for answer in answers}

        users = [await versions(("user-id", f"user {number}")) for number in range(40)]
        assert {len(seen) for seen in users} == {1}
        assert set.union(*users) == {1, thrice}
        assert await versions() == {1}, "who says nothing of himself is not experimented with"


async def test_a_routing_key_only_moves_from_the_old_version_to_the_new_one(client: AsyncClient, thrice: int) -> None:
    keys = [f"用户 {number}" for number in range(60)]

    async def versions() -> dict[str, int]:
        rows = {"x": np.ones((1, 4), dtype=np.float32)}
        return {key: (await client.infer(ROWS, rows, routing_key=key)).version for key in keys}

    await client.start_rollout(f"{ROWS}@{thrice}", [20, 60], step_s=8.0, judged=False)
    await until_state(client, RUNNING, share=2000)
    first, again = await versions(), await versions()
    assert (await client.rollouts(ROWS))[0].share == 2000, "both were asked within the step"
    assert first == again
    await until_state(client, RUNNING, share=6000)
    later = await versions()
    moved = {key: (first[key], later[key]) for key in keys if first[key] != later[key]}
    assert moved
    assert set(moved.values()) == {(1, thrice)}
    assert 0.4 * len(keys) <= list(later.values()).count(thrice) <= 0.8 * len(keys)


async def test_a_canary_that_users_call_wrong_is_taken_back(client: AsyncClient, thrice: int) -> None:
    async def ask() -> None:
        answer = await client.infer(ROWS, {"x": np.ones((1, 4), dtype=np.float32)})
        state = await client.submit_feedback(answer, thumb_up=answer.version == 1)
        assert state in ("joined", "version_known", "unknown")

    async with load(ask, callers=2) as running:
        await client.start_rollout(f"{ROWS}@{thrice}", [50], step_s=LONG_S)
        ended = await until_state(client, ROLLED_BACK)
    assert "were called wrong" in ended.reason
    assert not running.failures


async def test_without_calls_a_step_is_held_and_says_what_is_missing(client: AsyncClient, thrice: int) -> None:
    await client.start_rollout(f"{ROWS}@{thrice}", [10, 50], step_s=1.0)
    held = await until_state(client, registry_pb2.ROLLOUT_STATE_HELD)
    assert held.share == 1000
    assert "answer" in held.reason
    await client.control_rollout(ROWS, "abort")


async def test_the_command_line_shows_steers_and_takes_back(
    platform: Platform, client: AsyncClient, thrice: int
) -> None:
    async def lepton(*arguments: str) -> str:
        done = await asyncio.to_thread(platform.lepton, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    metric = ("--metric", 'load: sum(rate(lepton_requests_total{version="$version"}[1m])) < 1000000')
    started = await lepton("deploy", f"{ROWS}@{thrice}", "--canary", "5%,50%", "--every", "1h", "--detach", *metric)
    assert f"version {thrice} (from 1) is waiting" in started
    await until_state(client, RUNNING)
    assert "5 %" in await lepton("rollout", "status", ROWS)
    assert "paused" in await lepton("rollout", "pause", ROWS)
    assert "running" in await lepton("rollout", "resume", ROWS)
    assert "promoted" in await lepton("rollout", "promote", ROWS)
    decided = json.loads(await lepton("rollout", "explain", ROWS, "--json"))["decisions"]
    assert [each["state"] for each in reversed(decided)] == ["waiting", "running", "paused", "running", "promoted"]
    assert "version 1 has the traffic again" in await lepton("rollback", ROWS)
    (newest, *_) = json.loads(await lepton("rollout", "list", ROWS, "--json"))
    assert (newest["state"], newest["steps_percent"], newest["share_percent"]) == ("rolled_back", [5.0, 50.0], 0.0)
    refused = await asyncio.to_thread(platform.lepton, "rollout", "resume", ROWS)
    assert refused.returncode == 1
    assert "What to do" in refused.stderr


@pytest.mark.timeout(400)
async def test_twenty_deployments_and_ten_rollbacks_of_real_networks_under_load_fail_no_call(
    platform: Platform, tmp_path: Path
) -> None:
    contents, seen = itertools.cycle([photo.path.read_bytes() for photo in photos()]), Counter[int]()
    weighted = {1}  # the first version

    async def ask() -> None:
        request = inference_pb2.PredictRequest(model=common_pb2.ModelRef(name=PHOTOS))
        request.items.add().inputs["photo"].data = next(contents)
        could = set(weighted)
        with status_errors():
            answer = await stub.Predict(request, timeout=20.0)
        assert answer.predictions[0].classification.labels
        assert answer.model_version in could | weighted, "the version had no weight while the call was on its way"
        seen[answer.model_version] += 1

    async def move(change: Awaitable[Deployment], version: int, running: Load) -> None:
        weighted.add(version)
        assert (await change).version == version
        weighted.intersection_update({version})
        await running.more(3, timeout_s=60.0)

    async with platform.client() as client, grpc.aio.insecure_channel(platform.addresses.inference) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        versions = [(await client.push(lite_package(tmp_path, lite))).version for lite in range(3)]
        await client.deploy(f"{PHOTOS}@{versions[0]}")
        async with load(ask, callers=3) as running:
            for turn in range(10):
                first, second = (versions[(turn + offset) % 3] for offset in (1, 2))
                await move(client.deploy(f"{PHOTOS}@{first}"), first, running)
                await move(client.deploy(f"{PHOTOS}@{second}"), second, running)
                await move(client.rollback(PHOTOS, wait_s=60.0), first, running)
        await client.undeploy(PHOTOS)
    assert not running.failures
    assert set(seen) == set(versions) == {1, 2, 3}


def lite_package(directory: Path, lite: int) -> Path:
    """EfficientNet-lite0, 1 or 2, as versions of one model."""
    package = write_package(directory / f"lite{lite}", lite=lite)
    described = package / "lepton.yaml"
    text = described.read_text(encoding="utf-8").replace(f"name: {NAME}", f"name: {PHOTOS}", 1)
    described.write_text(f"{text}\ninstances: 1\n", "utf-8")  # each is loaded ten times
    return package


@contextmanager
def status_errors() -> Iterator[None]:
    """A failed call as the load counts it."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
