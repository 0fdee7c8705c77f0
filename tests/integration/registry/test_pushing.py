"""Pushing over gRPC: what becomes a version, and that nothing else leaves a trace."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.package import Package
from lepton_ai.testing import MemoryStore, eventually
from lepton_ai.v1 import registry_pb2 as pb
from lepton_ai.v1.common_pb2 import ModelRef
from tests.integration.registry.served import (
    TIMEOUT_S,
    Served,
    chunks,
    contents,
    download,
    push,
    requests,
    send,
    serving,
)
from tests.sample_packages import onnx_bytes, onnx_package

Requests = list[pb.PushVersionRequest]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "data", MemoryStore()) as running:
        yield running


async def refused(served: Served, messages: Requests) -> LeptonError:
    before = served.leftovers()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(served.stub, messages)
    await eventually(lambda: served.leftovers() == before, description="nothing is left behind")
    return from_rpc_error(caught.value)


async def models(served: Served) -> list[pb.Model]:
    return list((await served.stub.ListModels(pb.ListModelsRequest(), timeout=TIMEOUT_S)).models)


async def test_a_pushed_package_is_a_version_with_all_its_files(served: Served, tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", files={"标签.txt": "猫\n".encode(), "empty": b""})
    pushed = await push(served.stub, package)
    assert pushed.created
    version = pushed.version
    assert (version.model, version.version, version.digest) == ("doubler", 1, package.digest)
    assert version.description == "把四个数乘以二。"
    assert version.manifest == package.manifest()
    assert version.size_bytes == sum(file.size_bytes for file in package.files.values())
    for sha256, content in contents(package).items():
        assert await download(served.stub, sha256) == content
    assert not any((served.data_dir / "staging").iterdir())


async def test_pushing_the_same_again_finds_the_version_without_an_upload(served: Served, tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p")
    first = await push(served.stub, package)
    again = await send(served.stub, requests(package.manifest(), {}))
    assert not again.created
    assert again.version == first.version


async def test_only_missing_files_need_to_be_uploaded(served: Served, tmp_path: Path) -> None:
    await push(served.stub, onnx_package(tmp_path / "1"))
    changed = onnx_package(tmp_path / "2", files={"labels.txt": b"a\n"})
    hashes = [file.sha256 for file in changed.files.values()]
    missing = await served.stub.FindMissingFiles(pb.FindMissingFilesRequest(sha256=hashes * 2), timeout=TIMEOUT_S)
    assert set(missing.sha256) == {changed.files["labels.txt"].sha256}
    assert len(missing.sha256) == 1
    assert (await push(served.stub, changed)).version.version == 2


async def test_one_content_may_have_several_paths(served: Served, tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", files={"a.txt": b"same", "b/c.txt": b"same"})
    assert (await push(served.stub, package)).created


async def test_what_is_known_already_may_be_uploaded_again(served: Served, tmp_path: Path) -> None:
    await push(served.stub, onnx_package(tmp_path / "1"))
    changed = onnx_package(tmp_path / "2", max_batch_size=4)
    assert (await send(served.stub, requests(changed.manifest(), contents(changed)))).version.version == 2


async def test_concurrent_pushes_of_the_same_make_one_version(served: Served, tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p")
    everything = requests(package.manifest(), contents(package))
    answers = await asyncio.gather(*(send(served.stub, everything) for _ in range(4)))
    assert [answer.created for answer in answers].count(True) == 1
    assert {answer.version.version for answer in answers} == {1}
    for sha256, content in contents(package).items():
        assert await download(served.stub, sha256) == content


async def test_concurrent_pushes_of_different_content_make_different_versions(served: Served, tmp_path: Path) -> None:
    packages = [onnx_package(tmp_path / str(n), model=onnx_bytes(factor=float(n))) for n in range(4)]
    answers = await asyncio.gather(*(push(served.stub, package) for package in packages))
    assert {answer.version.version for answer in answers} == {1, 2, 3, 4}
    for package in packages:
        for sha256, content in contents(package).items():
            assert await download(served.stub, sha256) == content


async def test_too_many_pushes_at_once_are_told_to_come_back(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p")
    async with serving(tmp_path / "data", MemoryStore(), max_concurrent_pushes=1) as served:
        first = served.stub.PushVersion(timeout=TIMEOUT_S)
        for message in requests(package.manifest(), {}):
            await first.write(message)
        await eventually(lambda: any((served.data_dir / "staging").iterdir()), description="the first is under way")
        error = await refused_by(served, requests(package.manifest(), contents(package)))
        assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_PUSHES")
        assert error.retry_after_s
        first.cancel()


async def refused_by(served: Served, messages: Requests) -> LeptonError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(served.stub, messages)
    return from_rpc_error(caught.value)


async def test_a_client_that_goes_away_leaves_nothing(served: Served, tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", files={"big.bin": os.urandom(1 << 20)})
    call = served.stub.PushVersion(timeout=TIMEOUT_S)
    for message in requests(package.manifest(), contents(package))[:8]:
        await call.write(message)
    await eventually(lambda: served.leftovers() != [], description="something has arrived")
    call.cancel()
    await eventually(lambda: not any((served.data_dir / "staging").iterdir()), description="staging is empty")
    assert await models(served) == []
    assert (await push(served.stub, package)).created


async def test_an_upload_that_ends_in_the_middle_leaves_nothing(served: Served, tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", files={"big.bin": os.urandom(1 << 20)})
    everything = requests(package.manifest(), contents(package))
    for count in (1, 2, len(everything) // 2, len(everything) - 1):
        error = await refused(served, everything[:count])
        assert error.reason in {"MISSING_FILE", "UPLOAD_INCOMPLETE"}
        assert error.fields[0].field.startswith("manifest.files[")


def wrong_content(package: Package) -> Requests:
    file = package.files["model.onnx"]
    return requests(package.manifest(), {**contents(package), file.sha256: bytes(file.size_bytes)})


def too_much(package: Package) -> Requests:
    file = package.files["model.onnx"]
    return requests(package.manifest(), {**contents(package), file.sha256: bytes(file.size_bytes + 1)})


def undeclared(package: Package) -> Requests:
    return [*requests(package.manifest(), contents(package)), *chunks(hashlib.sha256(b"x").hexdigest(), b"x")]


def twice(package: Package) -> Requests:
    everything = requests(package.manifest(), contents(package))
    return [*everything, everything[1]]


def two_manifests(package: Package) -> Requests:
    return [*requests(package.manifest(), {}), pb.PushVersionRequest(manifest=package.manifest())]


def no_manifest(package: Package) -> Requests:
    return requests(package.manifest(), contents(package))[1:]


def nothing(_package: Package) -> Requests:
    return []


def empty_message(package: Package) -> Requests:
    return [*requests(package.manifest(), {}), pb.PushVersionRequest()]


def other_name(package: Package) -> Requests:
    manifest = package.manifest()
    manifest.model = "tripler"
    return requests(manifest, contents(package))


def climbing(package: Package) -> Requests:
    manifest = package.manifest()
    manifest.files[1].path = "../../escaped"
    return requests(manifest, contents(package))


def absolute(package: Package) -> Requests:
    manifest = package.manifest()
    manifest.files[1].path = "/tmp/escaped"
    return requests(manifest, contents(package))


def without_description(package: Package) -> Requests:
    manifest = pb.Manifest(model="doubler", files=[package.files["model.onnx"]])
    return requests(manifest, contents(package))


@pytest.mark.parametrize(
    ("attempt", "field"),
    [
        (wrong_content, "manifest.files[1].sha256"),
        (too_much, "manifest.files[1].size_bytes"),
        (undeclared, "chunk.sha256"),
        (twice, "chunk.sha256"),
        (two_manifests, "chunk"),
        (no_manifest, "manifest"),
        (nothing, "manifest"),
        (empty_message, "chunk"),
        (other_name, "manifest.model"),
        (climbing, "manifest.files[1].path"),
        (absolute, "manifest.files[1].path"),
        (without_description, "manifest.files"),
    ],
)
async def test_a_push_that_is_not_what_it_says_is_refused(
    served: Served, tmp_path: Path, attempt: Callable[[Package], Requests], field: str
) -> None:
    error = await refused(served, attempt(onnx_package(tmp_path / "p")))
    assert (error.code, error.fields[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert await models(served) == []
    assert not (served.data_dir.parent / "escaped").exists()


@pytest.mark.parametrize("name", ["..", "../x", "a" * 300, "a\0", "․․", "A", ""])
async def test_names_that_are_not_names_are_refused_everywhere(served: Served, tmp_path: Path, name: str) -> None:
    manifest = onnx_package(tmp_path / "p").manifest()
    manifest.model = name
    error = await refused(served, requests(manifest, {}))
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    calls: list[Callable[[], Any]] = [
        lambda: served.stub.GetVersion(pb.GetVersionRequest(model=ModelRef(name=name)), timeout=TIMEOUT_S),
        lambda: served.stub.Deploy(pb.DeployRequest(model=ModelRef(name=name)), timeout=TIMEOUT_S),
        lambda: served.stub.Undeploy(pb.UndeployRequest(model=name), timeout=TIMEOUT_S),
        lambda: served.stub.SetAlias(pb.SetAliasRequest(model=name, alias="a", version=1), timeout=TIMEOUT_S),
    ]
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call()
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("model", "files"),
    [
        (b"", {}),
        (os.urandom(2000), {}),
        (onnx_bytes(location="../x"), {"x": b"1234"}),
        (onnx_bytes(location="/etc/passwd"), {}),
        (onnx_bytes(location="absent"), {}),
    ],
)
async def test_models_that_are_none_or_reach_outside_are_refused(
    served: Served, tmp_path: Path, model: bytes, files: dict[str, bytes]
) -> None:
    package = onnx_package(tmp_path / "p", model=model, files=files)
    error = await refused(served, requests(package.manifest(), contents(package)))
    assert (error.code, error.fields[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "model.file")
    assert str(tmp_path) not in str(error)


async def test_a_wrong_step_is_named_as_in_lepton_yaml(served: Served, tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", postprocess=[{"op": "classify", "labels": "none.txt"}])
    error = await refused(served, requests(package.manifest(), contents(package)))
    assert error.fields[0].field == "postprocess[0].labels"


async def test_too_many_files_and_too_many_bytes_are_refused_before_any_upload(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p")
    many, large = package.manifest(), package.manifest()
    for number in range(10_000):
        many.files.add(path=f"{number}.txt", size_bytes=1, sha256=hashlib.sha256(b"x").hexdigest())
    large.files.add(path="large", size_bytes=2**63, sha256=hashlib.sha256(b"x").hexdigest())
    async with serving(tmp_path / "data", MemoryStore()) as served:
        for manifest, reason in ((many, "TOO_MANY_FILES"), (large, "FILE_TOO_LARGE")):
            error = await refused(served, requests(manifest, {}))
            assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, reason)


async def test_a_model_that_takes_too_long_to_check_is_refused(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p")
    async with serving(tmp_path / "data", MemoryStore(), inspection_timeout_s=0.05) as served:
        error = await refused(served, requests(package.manifest(), contents(package)))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INSPECTION_FAILED")


async def test_versions_models_and_aliases_are_listed(served: Served, tmp_path: Path) -> None:
    for number in (1, 2):
        await push(served.stub, onnx_package(tmp_path / str(number), max_batch_size=number))
    model: pb.Model = await served.stub.SetAlias(
        pb.SetAliasRequest(model="doubler", alias="best", version=1), timeout=TIMEOUT_S
    )
    assert [version.version for version in model.versions] == [2, 1]
    assert dict(model.aliases) == {"best": 1}
    assert list(model.versions[1].aliases) == ["best"]
    newest = await served.stub.GetVersion(pb.GetVersionRequest(model=ModelRef(name="doubler")), timeout=TIMEOUT_S)
    assert (newest.digest, len(newest.manifest.files)) == (model.versions[0].digest, 2)
    assert not model.versions[0].manifest.files, "who moves an alias has no use for them"
    (model,) = await models(served)
    assert newest == model.versions[0]
    deployment = await served.stub.Deploy(pb.DeployRequest(model=ModelRef(name="doubler")), timeout=TIMEOUT_S)
    (listed,) = (await served.stub.ListDeployments(pb.ListDeploymentsRequest(), timeout=TIMEOUT_S)).deployments
    (model,) = await models(served)
    assert listed == deployment == model.deployment


@pytest.mark.parametrize("sha256", ["", "0" * 64, "../registry.sqlite", "x" * 64, "0" * 100_000])
async def test_files_of_no_version_are_not_found(served: Served, sha256: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await download(served.stub, sha256)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_who_pushed_is_written_down(served: Served, tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p")
    call = served.stub.PushVersion(
        iter(requests(package.manifest(), contents(package))),
        timeout=TIMEOUT_S,
        metadata=(("lepton-actor", "ci-bot"),),
    )
    await call
    with sqlite3.connect(served.data_dir / "registry.sqlite") as direct:
        ((actor, action),) = direct.execute("SELECT actor, action FROM audit").fetchall()
    direct.close()
    assert actor == "ci-bot ipv4:127.0.0.1", "the port of a call tells nothing"
    assert action == "push"
