"""kill -9 at any moment: afterwards every version is whole, nothing half done is left, and trying again works."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pytest
from google.protobuf import json_format

from lepton_ai.local.programs.etcd import running_etcd
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.discovery.state import DEPLOYMENTS
from lepton_ai.package import Package
from lepton_ai.testing import eventually
from lepton_ai.v1 import registry_pb2 as pb
from lepton_ai.v1.common_pb2 import ModelRef
from tests.integration.registry.process import RegistryProcess, environment, registry_process, start
from tests.integration.registry.served import TIMEOUT_S, contents, download, files_below, push, requests, send
from tests.sample_packages import onnx_bytes, onnx_package

ROUNDS = 20
MAX_SECONDS = 75.0
BIG_BYTES = 4 << 20

Moment = Callable[[Path], Awaitable[object]]


def after(share: float) -> Moment:
    """Some time into the push, which takes about a second."""
    return lambda data: asyncio.sleep(share)


def when(part: str, pattern: str) -> Moment:
    """As soon as a file appears."""

    def appeared(data: Path) -> bool:
        return any(True for _ in (data / part).glob(pattern))

    return lambda data: eventually(
        lambda: appeared(data), interval_s=0.001, timeout_s=TIMEOUT_S, description=f"{part}/{pattern} appears"
    )


MOMENTS: list[Moment] = [
    when("staging", "*/incoming/*"),
    when("staging", "*/package/*"),
    when("blobs", "partial/*"),
    when("blobs", "[0-9a-f]*/*"),
]


def next_package(directory: Path, number: int) -> Package:
    """A package of its own for every round, large enough that writing it takes a while."""
    big = random.Random(number).randbytes(BIG_BYTES)
    return onnx_package(directory / str(number), model=onnx_bytes(factor=float(number)), files={"big.bin": big})


async def push_until_killed(process: RegistryProcess, package: Package, moment: Moment, data: Path) -> None:
    pushing = asyncio.create_task(send(process.stub, requests(package.manifest(), contents(package))))
    reached = asyncio.create_task(asyncio.wait_for(moment(data), TIMEOUT_S))
    await asyncio.wait({pushing, reached}, return_when=asyncio.FIRST_COMPLETED)
    await process.kill()
    reached.cancel()
    await asyncio.gather(pushing, reached, return_exceptions=True)


async def check_whole(process: RegistryProcess, data: Path) -> list[int]:
    """Every version can be downloaded, and nothing else lies around. Returns the numbers."""
    models = (await process.stub.ListModels(pb.ListModelsRequest(), timeout=TIMEOUT_S)).models
    versions = [version for model in models for version in model.versions]
    held = {file.sha256 for version in versions for file in version.manifest.files}
    for version in versions[:1]:
        for file in version.manifest.files:
            assert hashlib.sha256(await download(process.stub, file.sha256)).hexdigest() == file.sha256
    assert {path.name for path in files_below(data / "blobs")} == held, "blobs and versions differ"
    assert files_below(data / "staging") == [], "an unfinished upload is left over"
    return [version.version for version in versions]


@pytest.mark.timeout(240)
async def test_killed_while_pushing(tmp_path: Path) -> None:
    data, seed = tmp_path / "data", random.randrange(1 << 30)
    chance, began = random.Random(seed), time.monotonic()
    killed: Package | None = None
    expected = 0
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    async with running_etcd(tmp_path / "etcd") as etcd:  # a registry waits a moment for one that is not there
        for number in range(1, ROUNDS + 1):
            async with registry_process(data, etcd_address=etcd.address) as process:
                numbers = await check_whole(process, data)
                assert numbers in ([*range(expected, 0, -1)], [*range(expected + 1, 0, -1)])
                if killed is not None:
                    again = await push(process.stub, killed)
                    expected += 1
                    assert again.version.version == expected
                    assert again.created == (len(numbers) < expected)
                if time.monotonic() - began > MAX_SECONDS:
                    break
                killed = next_package(tmp_path / "packages", number)
                moment = MOMENTS[number // 2 % len(MOMENTS)] if number % 2 else after(chance.random())
                await push_until_killed(process, killed, moment, data)
    assert expected >= len(MOMENTS), "too slow to say anything"


async def deploy_until_killed(process: RegistryProcess, after_s: float) -> None:
    """Kill it so long after its first deployment, while it goes on to deploy."""
    begun = asyncio.Event()

    async def flip() -> None:
        for number in range(10_000):
            ref = ModelRef(name="doubler", version=1 + number % 2)
            await process.stub.Deploy(pb.DeployRequest(model=ref), timeout=TIMEOUT_S)
            begun.set()

    flipping = asyncio.create_task(flip())
    await asyncio.wait_for(begun.wait(), TIMEOUT_S)
    await asyncio.sleep(after_s)
    await process.kill()
    with contextlib.suppress(grpc.aio.AioRpcError):
        await flipping


@pytest.mark.timeout(180)
async def test_killed_while_deploying(tmp_path: Path) -> None:
    chance = random.Random(7)
    async with running_etcd(tmp_path / "etcd") as etcd:
        state = EtcdStore(etcd.address)
        generation = 0
        for round_number in range(6):
            async with registry_process(tmp_path / "data", etcd_address=etcd.address) as process:
                if round_number == 0:
                    for number in (1, 2):
                        await push(process.stub, onnx_package(tmp_path / str(number), max_batch_size=number))
                else:
                    generation = await check_agreement(process, state, generation)
                await deploy_until_killed(process, 0.1 + chance.random() / 5)
        assert generation > 0
        await state.close()


async def check_agreement(process: RegistryProcess, state: EtcdStore, older: int) -> int:
    """Wait until etcd holds what the registry answers; the generation has not gone back."""

    async def agreed() -> int:
        listed = await process.stub.ListDeployments(pb.ListDeploymentsRequest(), timeout=TIMEOUT_S)
        (deployment,) = listed.deployments
        published = json_format.Parse(await state.get(DEPLOYMENTS + "doubler") or b"", pb.Deployment())
        assert published == deployment
        return deployment.generation

    generation = await eventually(agreed, timeout_s=10, description="etcd and the registry agree")
    assert generation >= older
    return generation


async def test_two_registries_cannot_share_a_directory(tmp_path: Path) -> None:
    async with registry_process(tmp_path / "data"):
        second = await start(tmp_path / "second.log", environment(tmp_path / "data"))
        assert await asyncio.wait_for(second.wait(), TIMEOUT_S) == 1
        assert "Another registry uses this data directory." in (tmp_path / "second.log").read_text(encoding="utf-8")


async def test_sigterm_ends_it_in_order(tmp_path: Path) -> None:
    async with registry_process(tmp_path / "data") as process:
        process.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.process.wait(), TIMEOUT_S) == 0
        messages = [json.loads(line)["message"] for line in process.log.read_text(encoding="utf-8").splitlines()]
        assert messages[-1] == "drained"


async def test_wrong_settings_are_named(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = await start(log, environment(tmp_path / "data", max_files="many"))
    assert await asyncio.wait_for(process.wait(), TIMEOUT_S) == 1
    assert "LEPTON_MAX_FILES" in log.read_text(encoding="utf-8")


async def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"")
    process = await start(log, environment(log / "data"))
    assert await asyncio.wait_for(process.wait(), TIMEOUT_S) == 1
    assert "LEPTON_DATA_DIR" in log.read_text(encoding="utf-8")
