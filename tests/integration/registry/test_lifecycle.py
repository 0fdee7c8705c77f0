"""The life of a version over gRPC: rejected, archived, restored, deleted; and what becomes of its files."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from lepton_ai.errors import FailedPrecondition, InvalidInput, LeptonError, NotFound
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.testing import MemoryStore
from lepton_ai.v1 import registry_pb2 as pb
from lepton_ai.v1.common_pb2 import ModelRef
from tests.integration.registry.served import (
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

READY, ARCHIVED, DELETED = (
    pb.MODEL_VERSION_STATE_READY,
    pb.MODEL_VERSION_STATE_ARCHIVED,
    pb.MODEL_VERSION_STATE_DELETED,
)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "data", MemoryStore(), delete_after_s=0.0) as running:
        yield running


async def call(method: Any, request: Any) -> Any:
    try:
        return await method(request, timeout=TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error


def ref(version: int) -> ModelRef:
    return ModelRef(name="doubler", version=version)


async def change(served: Served, what: str, version: int, reason: str = "") -> pb.ModelVersion:
    changed: pb.ModelVersion = await call(
        getattr(served.stub, f"{what}Version"), pb.ChangeVersionRequest(model=ref(version), reason=reason)
    )
    return changed


async def versions(served: Served, count: int, directory: Path) -> None:
    for number in range(1, count + 1):
        await push(served.stub, onnx_package(directory / str(number), max_batch_size=number))


async def numbers(served: Served) -> list[int]:
    (model,) = (await call(served.stub.ListModels, pb.ListModelsRequest(name="doubler"))).models
    return [version.version for version in model.versions]


async def test_a_pushed_version_is_ready_and_says_what_became_of_its_dry_run(served: Served, tmp_path: Path) -> None:
    version = (await push(served.stub, onnx_package(tmp_path / "p"))).version
    assert version.state == READY
    assert version.dry_run.startswith("passed: zeros")


async def test_an_archived_version_is_kept_but_not_served(served: Served, tmp_path: Path) -> None:
    await versions(served, 2, tmp_path)
    archived = await change(served, "Archive", 2, "错误的数据")
    assert (archived.state, archived.reason) == (ARCHIVED, "错误的数据")
    assert archived.changed_at.ToDatetime() >= archived.created_at.ToDatetime()
    for method, request in (
        (served.stub.Deploy, pb.DeployRequest(model=ref(2))),
        (served.stub.SetAlias, pb.SetAliasRequest(model="doubler", alias="best", version=2)),
    ):
        with pytest.raises(FailedPrecondition, match=r"doubler@2 is archived.*lepton restore doubler@2"):
            await call(method, request)
    newest = await call(served.stub.GetVersion, pb.GetVersionRequest(model=ModelRef(name="doubler")))
    assert newest.version == 1, "the newest that is ready"
    assert await numbers(served) == [2, 1]
    assert (await change(served, "Restore", 2)).state == READY
    await call(served.stub.Deploy, pb.DeployRequest(model=ref(2)))


async def test_what_is_in_use_cannot_be_archived(served: Served, tmp_path: Path) -> None:
    await versions(served, 3, tmp_path)
    await call(served.stub.SetAlias, pb.SetAliasRequest(model="doubler", alias="best", version=1))
    await call(served.stub.Deploy, pb.DeployRequest(model=ref(2)))
    with pytest.raises(FailedPrecondition, match="doubler@1 has the alias best"):
        await change(served, "Archive", 1)
    with pytest.raises(FailedPrecondition, match="doubler@2 is deployed"):
        await change(served, "Archive", 2)
    plan = pb.RolloutPlan(shares=[1000], step_s=60, bake_s=60)
    await call(served.stub.StartRollout, pb.StartRolloutRequest(model=ref(3), plan=plan))
    for number in (2, 3):
        with pytest.raises(FailedPrecondition, match=rf"doubler@{number} is part of a rollout") as caught:
            await change(served, "Archive", number)
        assert caught.value.reason == "VERSION_IN_USE"
    assert {(await call(served.stub.GetVersion, pb.GetVersionRequest(model=ref(n)))).state for n in (1, 2, 3)} == {
        READY
    }


async def test_only_what_is_archived_can_be_deleted_and_only_by_its_number(served: Served, tmp_path: Path) -> None:
    await versions(served, 1, tmp_path)
    with pytest.raises(FailedPrecondition, match="lepton archive doubler@1"):
        await change(served, "Delete", 1)
    with pytest.raises(InvalidInput, match="by its number"):
        await call(served.stub.ArchiveVersion, pb.ChangeVersionRequest(model=ModelRef(name="doubler")))
    with pytest.raises(NotFound):
        await change(served, "Archive", 7)


async def deleted(served: Served, version: int) -> None:
    await change(served, "Archive", version)
    assert (await change(served, "Delete", version)).state == DELETED


async def test_numbers_are_never_given_again_and_content_may_come_back(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", MemoryStore()) as served:  # where a push has time until files are deleted
        await versions(served, 2, tmp_path)
        await deleted(served, 2)
        assert await numbers(served) == [1]
        again = await push(served.stub, onnx_package(tmp_path / "again", max_batch_size=2))
        assert (again.created, again.version.version) == (True, 3)
        with pytest.raises(FailedPrecondition, match="is deleted"):
            await change(served, "Restore", 2)
        assert (await call(served.stub.GetVersion, pb.GetVersionRequest(model=ref(2)))).state == DELETED


async def test_files_go_when_no_version_holds_them(served: Served, tmp_path: Path) -> None:
    await versions(served, 2, tmp_path)
    await deleted(served, 2)
    await served.registry.dispose()
    assert len(files_below(served.data_dir / "blobs")) == 2, "the model is the other version's, too"
    await deleted(served, 1)
    await served.registry.dispose()
    assert files_below(served.data_dir / "blobs") == []
    with pytest.raises(NotFound):
        await call(served.stub.GetVersion, pb.GetVersionRequest(model=ModelRef(name="doubler")))


async def test_files_stay_while_they_are_fetched(served: Served, tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", files={"big.bin": bytes(64 << 20)})
    await push(served.stub, package)
    big = package.files["big.bin"].sha256
    fetching = aiter(served.stub.DownloadFile(pb.DownloadFileRequest(sha256=big), timeout=TIMEOUT_S))
    size_bytes = len((await anext(fetching)).data)
    await deleted(served, 1)
    await served.registry.dispose()
    async for chunk in fetching:
        size_bytes += len(chunk.data)
    assert size_bytes == 64 << 20
    await served.registry.dispose()
    assert files_below(served.data_dir / "blobs") == []


async def test_files_stay_for_a_while_also_over_a_restart(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p")
    model = package.files["model.onnx"].sha256
    async with serving(tmp_path / "data", MemoryStore()) as served:
        await push(served.stub, package)
        await deleted(served, 1)
        assert await served.registry.dispose() == 0
    async with serving(tmp_path / "data", MemoryStore()) as served:
        assert await served.registry.dispose() == 0
        assert await download(served.stub, model) == contents(package)[model]
    async with serving(tmp_path / "data", MemoryStore(), delete_after_s=0.0) as served:
        await served.registry.dispose()
        assert files_below(served.data_dir / "blobs") == []


async def test_a_rejected_push_is_kept_with_its_reason_and_has_no_number(served: Served, tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "bad", model=b"no model")
    with pytest.raises(LeptonError) as caught:
        try:
            await send(served.stub, requests(package.manifest(), contents(package)))
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
    (rejected,) = (await call(served.stub.ListPushes, pb.ListPushesRequest(model="doubler"))).pushes
    assert rejected.state == pb.MODEL_VERSION_STATE_REJECTED
    assert (rejected.reason, rejected.digest) == (caught.value.message, package.digest)
    assert (await push(served.stub, onnx_package(tmp_path / "good"))).version.version == 1
    assert len((await call(served.stub.ListPushes, pb.ListPushesRequest())).pushes) == 1


async def test_every_step_is_in_the_audit_trail(served: Served, tmp_path: Path) -> None:
    await versions(served, 1, tmp_path)
    await change(served, "Archive", 1, "old")
    await change(served, "Restore", 1)
    await deleted(served, 1)
    with sqlite3.connect(served.data_dir / "registry.sqlite") as direct:
        entries = direct.execute("SELECT action, after FROM audit ORDER BY id").fetchall()
    direct.close()
    assert [action for action, _ in entries] == ["push", "archive", "restore", "archive", "delete"]
    assert json.loads(entries[1][1]) == {"version": 1, "state": "archived", "reason": "old"}
