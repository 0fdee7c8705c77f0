"""Uploads that break off go on where they stopped: after a lost connection, and after a killed registry."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from lepton_ai import AsyncClient
from lepton_ai.addresses import Addresses
from lepton_ai.client.files import nearby
from lepton_ai.errors import LeptonError
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.package import Package
from lepton_ai.testing import MemoryStore, eventually
from lepton_ai.v1 import registry_pb2 as pb
from services.registry.database import sqlite
from tests.integration.registry.process import registry_process
from tests.integration.registry.served import (
    CHUNK_BYTES,
    TIMEOUT_S,
    Served,
    contents,
    download,
    files_below,
    push,
    requests,
    send,
    serving,
)
from tests.sample_packages import onnx_package

BIG = 16 * CHUNK_BYTES


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "data", MemoryStore()) as running:
        yield running


def big_package(directory: Path) -> Package:
    return onnx_package(directory, files={"big.bin": os.urandom(BIG)})


async def kept(served: Served, package: Package) -> dict[str, int]:
    request = pb.FindMissingFilesRequest(sha256=contents(package))
    found = await served.stub.FindMissingFiles(request, timeout=TIMEOUT_S)
    return {each.sha256: each.size_bytes for each in found.kept}


async def break_off(served: Served, package: Package, chunks: int) -> None:
    """Upload so many chunks of the large file, then go away."""
    big = package.files["big.bin"].sha256
    call = served.stub.PushVersion(timeout=TIMEOUT_S)
    for message in requests(package.manifest(), {big: contents(package)[big]})[: 1 + chunks]:
        await call.write(message)

    def arrived() -> bool:
        return sum(path.stat().st_size for path in files_below(served.data_dir / "staging")) == chunks * CHUNK_BYTES

    await eventually(arrived, description="the chunks have arrived")
    call.cancel()
    await eventually(lambda: not files_below(served.data_dir / "staging"), description="staging is empty")


def rest(package: Package, offset: int) -> list[pb.PushVersionRequest]:
    """Everything, of the large file only what follows `offset`."""
    big, files = package.files["big.bin"].sha256, dict(contents(package))
    files[big] = files[big][offset:]
    messages = requests(package.manifest(), files)
    for message in messages[1:]:
        if message.chunk.sha256 == big:
            message.chunk.offset = offset
    return messages


async def error_of(served: Served, messages: list[pb.PushVersionRequest]) -> LeptonError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(served.stub, messages)
    return from_rpc_error(caught.value)


@pytest.mark.parametrize("chunks", [5, BIG // CHUNK_BYTES], ids=["a part", "all"])
async def test_a_push_goes_on_where_the_last_one_broke_off(served: Served, tmp_path: Path, chunks: int) -> None:
    package = big_package(tmp_path / "p")
    big = package.files["big.bin"].sha256
    await break_off(served, package, chunks)
    assert await kept(served, package) == {big: chunks * CHUNK_BYTES}
    pushed = await send(served.stub, rest(package, chunks * CHUNK_BYTES))
    assert pushed.created
    assert await download(served.stub, big) == contents(package)[big]
    assert await kept(served, package) == {}
    assert files_below(served.data_dir / "uploads") == []


async def test_a_client_that_knows_nothing_of_it_begins_again(served: Served, tmp_path: Path) -> None:
    package = big_package(tmp_path / "p")
    await break_off(served, package, 5)
    assert (await push(served.stub, package)).created
    assert files_below(served.data_dir / "uploads") == []


async def test_the_hash_is_that_of_the_whole_file(served: Served, tmp_path: Path) -> None:
    package = big_package(tmp_path / "p")
    await break_off(served, package, 5)
    (path,) = files_below(served.data_dir / "uploads")
    path.write_bytes(bytes(5 * CHUNK_BYTES))
    error = await error_of(served, rest(package, 5 * CHUNK_BYTES))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "UPLOAD_NOT_KEPT")
    assert package.files["big.bin"].sha256 not in await kept(served, package)
    assert (await push(served.stub, package)).created


async def test_what_is_not_kept_cannot_be_gone_on_from(served: Served, tmp_path: Path) -> None:
    package = big_package(tmp_path / "p")
    await break_off(served, package, 2)
    error = await error_of(served, rest(package, 5 * CHUNK_BYTES))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "UPLOAD_NOT_KEPT")


async def test_what_is_refused_is_not_kept(served: Served, tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", model=b"no model")
    assert (await error_of(served, requests(package.manifest(), contents(package)))).reason != "UPLOAD_NOT_KEPT"
    assert await kept(served, package) == {}


async def test_uploads_are_kept_within_bounds_of_time_and_bytes(tmp_path: Path) -> None:
    package = big_package(tmp_path / "p")
    for setting, value in {"keep_uploads_bytes": CHUNK_BYTES, "keep_uploads_s": 0.0}.items():
        async with serving(tmp_path / setting, MemoryStore(), **{setting: value}) as served:
            await break_off(served, package, 5)
            assert await kept(served, package) == {}


@pytest.mark.timeout(120)
async def test_a_client_goes_on_by_itself_after_the_registry_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearby, "machine_name", str)  # as where registry and client are on two machines
    package = onnx_package(tmp_path / "p", files={"big.bin": os.urandom(64 << 20)})
    sent: list[int] = []
    async with (
        registry_process(tmp_path / "data") as first,
        AsyncClient(Addresses(registry=first.address)) as client,
    ):
        pushing = asyncio.create_task(client.push(package.directory, on_progress=lambda done, total: sent.append(done)))
        await eventually(lambda: sent and sent[-1] > 16 << 20, timeout_s=TIMEOUT_S, description="it is under way")
        await first.kill()
        before = len(sent)
        async with registry_process(tmp_path / "data", port=first.address.rpartition(":")[2]) as second:
            version = await asyncio.wait_for(pushing, TIMEOUT_S)
            assert version.digest == package.digest
            assert min(sent[before:]) > 4 << 20, "it went on, and did not begin again"
            assert sent[-1] == sum(file.size_bytes for file in package.files.values())
            big = package.files["big.bin"].sha256
            assert await download(second.stub, big) == contents(package)[big]


async def test_without_room_for_a_record_of_the_push_the_full_disk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = onnx_package(tmp_path / "p")
    async with serving(tmp_path / "data", MemoryStore()) as served:
        with monkeypatch.context() as full:
            full.setattr(sqlite, "free_bytes", lambda _: 0)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await push(served.stub, package)
        assert from_rpc_error(caught.value).reason == "DISK_FULL"
        assert (await push(served.stub, package)).created
