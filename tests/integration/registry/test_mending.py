"""Damaged and lost files over gRPC: found by a check, mended by pushing the same content again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.testing import MemoryStore
from lepton_ai.v1 import registry_pb2 as pb
from tests.integration.registry.served import TIMEOUT_S, Served, contents, download, push, requests, send, serving
from tests.sample_packages import onnx_package


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "data", MemoryStore()) as running:
        yield running


def blob(served: Served, sha256: str) -> Path:
    return served.data_dir / "blobs" / sha256[:2] / sha256


def hurt(served: Served, sha256: str, how: str) -> None:
    path = blob(served, sha256)
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + (b"" if how == "shorter" else b"\0"))


async def check(served: Served) -> list[pb.StorageFault]:
    reports = [report async for report in served.stub.CheckStorage(pb.CheckStorageRequest(), timeout=TIMEOUT_S)]
    assert reports[-1].checked_files == reports[-1].total_files
    assert reports[-1].checked_bytes == reports[-1].total_bytes
    return [fault for report in reports for fault in report.faults]


@pytest.mark.parametrize("how", ["gone", "shorter", "changed"])
async def test_pushing_the_same_package_again_mends_its_files(served: Served, tmp_path: Path, how: str) -> None:
    package = onnx_package(tmp_path / "p")
    first = await push(served.stub, package)
    for sha256 in contents(package):
        hurt(served, sha256, how)
    again = await push(served.stub, package)
    assert (again.version, again.created) == (first.version, False)
    for sha256, content in contents(package).items():
        assert await download(served.stub, sha256) == content
    assert await check(served) == []
    assert not any((served.data_dir / "staging").iterdir())


async def test_only_what_is_damaged_is_asked_for(served: Served, tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p")
    await push(served.stub, package)
    damaged = package.files["lepton.yaml"].sha256
    hurt(served, damaged, "changed")
    missing = await served.stub.FindMissingFiles(
        pb.FindMissingFilesRequest(sha256=contents(package)), timeout=TIMEOUT_S
    )
    assert list(missing.sha256) == [damaged]


async def test_a_push_that_does_not_bring_a_damaged_file_says_which(served: Served, tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p")
    await push(served.stub, package)
    hurt(served, package.files["lepton.yaml"].sha256, "gone")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(served.stub, requests(package.manifest(), {}))
    error = from_rpc_error(caught.value)
    assert error.reason == "MISSING_FILE"
    assert "Push again" in error.fix


async def test_another_package_that_shares_the_file_mends_it_too(served: Served, tmp_path: Path) -> None:
    first = onnx_package(tmp_path / "1")
    await push(served.stub, first)
    shared = first.files["model.onnx"].sha256
    hurt(served, shared, "changed")
    second = onnx_package(tmp_path / "2", description="another one with the same model")
    assert second.files["model.onnx"].sha256 == shared
    pushed = await push(served.stub, second)
    assert (pushed.created, pushed.version.version) == (True, 2)
    assert await download(served.stub, shared) == contents(first)[shared]


async def test_a_check_of_a_sound_registry_finds_nothing(served: Served, tmp_path: Path) -> None:
    await push(served.stub, onnx_package(tmp_path / "p"))
    assert await check(served) == []


async def test_a_check_names_what_is_wrong_and_which_versions_it_hits(served: Served, tmp_path: Path) -> None:
    first = onnx_package(tmp_path / "1")
    second = onnx_package(tmp_path / "2", description="another one with the same model")
    for package in (first, second):
        await push(served.stub, package)
    hurt(served, first.files["model.onnx"].sha256, "changed")
    hurt(served, second.files["lepton.yaml"].sha256, "gone")
    orphan = "ab" * 32
    blob(served, orphan).parent.mkdir(exist_ok=True)
    blob(served, orphan).write_bytes(b"nobody's")

    faults = {fault.kind: fault for fault in await check(served)}
    damaged = faults.pop(pb.STORAGE_FAULT_KIND_DAMAGED)
    assert damaged.sha256 == first.files["model.onnx"].sha256
    assert damaged.size_bytes == first.files["model.onnx"].size_bytes
    assert [(use.version, use.path) for use in damaged.uses] == [(2, "model.onnx"), (1, "model.onnx")]
    missing = faults.pop(pb.STORAGE_FAULT_KIND_MISSING)
    assert [(use.model, use.version, use.path) for use in missing.uses] == [("doubler", 2, "lepton.yaml")]
    assert faults == {
        pb.STORAGE_FAULT_KIND_ORPHAN: pb.StorageFault(
            kind=pb.STORAGE_FAULT_KIND_ORPHAN, sha256=orphan, size_bytes=len(b"nobody's")
        )
    }
