"""kill -9 at 200 random moments of pushes, on a real disk: each version is whole or absent, and uploads go on."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import shutil
import statistics
import time
from pathlib import Path

import grpc
import pytest

from lepton_ai import AsyncClient
from lepton_ai.addresses import Addresses
from lepton_ai.errors import LeptonError
from lepton_ai.local.programs.etcd import running_etcd
from lepton_ai.package import Package
from lepton_ai.v1 import registry_pb2 as pb
from lepton_ai.v1.registry_pb2_grpc import RegistryServiceStub
from tests.integration.registry.forked import Nursery, nursery
from tests.integration.registry.served import TIMEOUT_S, download, files_below
from tests.sample_packages import onnx_bytes, onnx_package

KILLS = 200
SEED = 20_261_129
BIG_BYTES = 3 << 20


def next_package(directory: Path, number: int) -> Package:
    big = random.Random(number).randbytes(BIG_BYTES)
    return onnx_package(directory / str(number), model=onnx_bytes(factor=float(number)), files={"big.bin": big})


async def push(address: str, package: Package) -> int:
    async with AsyncClient(Addresses(registry=address)) as client:
        return (await client.push(package.directory)).version


async def check_whole(address: str, data: Path) -> list[int]:
    """Files and versions are each other's, the newest version can be read, nothing else lies around."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = RegistryServiceStub(channel)
        models = (await stub.ListModels(pb.ListModelsRequest(), timeout=TIMEOUT_S)).models
        versions = [version for model in models for version in model.versions]
        for file in versions[0].manifest.files if versions else ():
            assert hashlib.sha256(await download(stub, file.sha256)).hexdigest() == file.sha256
        assert not (await stub.ListPushes(pb.ListPushesRequest(), timeout=TIMEOUT_S)).pushes
    held = {file.sha256 for version in versions for file in version.manifest.files}
    assert {path.name for path in files_below(data / "blobs")} == held, "files and versions differ"
    assert files_below(data / "staging") == [], "an unfinished upload lies around"
    assert all(path.stat().st_size <= BIG_BYTES for path in files_below(data / "uploads"))
    return sorted(version.version for version in versions)


async def duration_s(births: Nursery, tmp_path: Path, etcd: str) -> float:
    """How long a push takes here."""
    times_s = []
    async with births.registry(tmp_path / "measured", etcd_address=etcd) as address:
        for number in range(1000, 1005):
            package = next_package(tmp_path / "packages", number)
            begun_s = time.monotonic()
            await push(address, package)
            times_s.append(time.monotonic() - begun_s)
    return statistics.median(times_s)


async def push_until_killed(births: Nursery, data: Path, etcd: str, package: Package, after_s: float) -> None:
    async with births.registry(data, etcd_address=etcd) as address:
        pushing = asyncio.create_task(push(address, package))
        await asyncio.wait({pushing}, timeout=after_s)
    pushing.cancel()
    with contextlib.suppress(asyncio.CancelledError, LeptonError, grpc.aio.AioRpcError):
        await pushing


@pytest.mark.timeout(900)
async def test_killed_at_200_random_moments_of_pushes(tmp_path: Path) -> None:
    chance, data = random.Random(SEED), tmp_path / "data"
    expected, resumed = 0, 0
    # With an etcd, as a registry waits a moment for one that is not there.
    async with nursery(tmp_path / "registry.log") as births, running_etcd(tmp_path / "etcd") as running:
        etcd = running.address
        push_s = await duration_s(births, tmp_path, etcd)
        for number in range(1, KILLS + 1):
            package = next_package(tmp_path / "packages", number)
            await push_until_killed(births, data, etcd, package, 1.2 * push_s * chance.random())
            async with births.registry(data, etcd_address=etcd) as address:
                numbers = await check_whole(address, data)
                assert numbers in ([*range(1, expected + 1)], [*range(1, expected + 2)])
                resumed += bool(files_below(data / "uploads"))
                if number % 4 == 0 or numbers[expected:]:
                    expected += 1
                    assert await push(address, package) == expected, "trying again works, and finds what is there"
                    assert await check_whole(address, data) == [*range(1, expected + 1)]
            shutil.rmtree(package.directory)
    assert resumed > KILLS / 20, "hardly any push was killed in the middle"
    assert expected >= KILLS / 4
