"""A full disk under the run directory: predictions go on, it is said, and with room everything comes back by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from lepton_ai import AsyncClient
from lepton_ai.errors import ResourceExhausted
from lepton_ai.local.processes.run_directory import RunDirectory
from lepton_ai.local.processes.supervision import is_alive
from lepton_ai.testing import eventually
from lepton_ai.v1 import health_pb2
from tests.platform import Platform, running_platform
from tests.sample_packages import onnx_package

_SIZE = "768m"
_HEALS_S = 60.0


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of its own, in memory."""
    mount, folder = shutil.which("mount"), tmp_path_factory.mktemp("disk")
    command = [mount or "mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here: that wants root and mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def running(small_disk: Path) -> Iterator[Platform]:
    with running_platform(small_disk / ".lepton") as platform:
        yield platform


@pytest.fixture
async def client(running: Platform) -> AsyncIterator[AsyncClient]:
    async with running.client() as client:
        yield client


def fill(folder: Path) -> Path:
    """A file that takes all the room there is; called again, it takes what has become free."""
    path = folder / "fill"
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass  # that is what it is for
    assert os.statvfs(folder).f_bavail == 0
    return path


async def ask(client: AsyncClient) -> list[float]:
    answer = await client.infer("doubler", {"x": np.ones((1, 4), np.float32)})
    return [float(value) for value in answer.tensors["y"][0]]


async def is_healthy(client: AsyncClient) -> bool:
    return (await client.status()).condition == health_pb2.CONDITION_HEALTHY


async def test_everything_comes_back_when_there_is_room_again(
    running: Platform, client: AsyncClient, small_disk: Path, tmp_path: Path
) -> None:
    await client.push(onnx_package(tmp_path / "doubler").directory)
    await client.deploy("doubler")
    filler = fill(small_disk)
    for name in ("etcd", "preprocess"):
        running.process(name).kill()

    async def says_so() -> bool:
        status = await client.status()
        return status.condition != health_pb2.CONDITION_HEALTHY and any("disk" in each for each in status.problems)

    await eventually(says_so, timeout_s=20, description="health tells of the full disk")
    shown = running.lepton("status", "--json")
    assert shown.returncode == 1
    assert "The disk that the platform writes to is" in shown.stdout
    assert await ask(client) == [2, 2, 2, 2]
    other = onnx_package(tmp_path / "other", name="other").directory
    fill(small_disk)  # the killed etcd had files without a name, whose room is free now
    with pytest.raises(ResourceExhausted, match="disk is full"):
        await client.push(other)
    fill(small_disk)
    with pytest.raises(ResourceExhausted, match="disk is full"):
        await client.undeploy("doubler")
    assert await ask(client) == [2, 2, 2, 2]

    filler.unlink()
    await eventually(lambda: is_healthy(client), timeout_s=_HEALS_S, description="all is healthy again")
    await eventually(running.is_ready, timeout_s=_HEALS_S, description="every process is ready")
    assert running.state.supervisor is not None
    assert is_alive(running.state.supervisor), "the supervisor was never gone"
    for name in ("etcd", "preprocess"):
        written = int(RunDirectory(running.home).pid_file(name).read_text(encoding="ascii"))
        assert written == running.process(name).pid
    await client.push(other)
    await client.deploy("other")
    assert await ask(client) == [2, 2, 2, 2]


async def test_an_etcd_that_cannot_open_its_data_starts_without_them(running: Platform, client: AsyncClient) -> None:
    data = running.home / "data" / "etcd"
    etcd = running.process("etcd")
    etcd.suspend()
    for file in (path for path in data.rglob("*") if path.is_file()):
        with file.open("r+b") as damaged:
            damaged.write(b"not what etcd wrote" * 1000)
    etcd.kill()
    await eventually(
        lambda: data.with_name("etcd.unusable").is_dir(), timeout_s=_HEALS_S, description="its data are set aside"
    )
    await eventually(lambda: is_healthy(client), timeout_s=_HEALS_S, description="all is published again")
    assert "set aside as etcd.unusable" in running.lepton("logs", "etcd", "-n", "100").stdout
    assert await ask(client) == [2, 2, 2, 2]
