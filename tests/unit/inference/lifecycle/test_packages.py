"""Packages on a replica: fetched once, checked, and there when the registry is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lepton_ai.errors import DataLoss, InvalidInput, Unavailable
from lepton_ai.testing import MemoryStore
from lepton_ai.v1 import registry_pb2
from services.inference.lifecycle.packages import PackageCache
from services.inference.locks import Locks
from tests.replica import FakeRegistry, push_versions
from tests.sample_packages import onnx_package


@pytest.fixture
def registry(tmp_path: Path) -> FakeRegistry:
    registry = FakeRegistry(MemoryStore())
    push_versions(registry, tmp_path / "pushed", 2)
    return registry


@pytest.fixture
def cache(tmp_path: Path, registry: FakeRegistry) -> PackageCache:
    return PackageCache(tmp_path / "cache", registry, Locks(tmp_path / "locks"))


async def test_a_package_arrives_whole_and_only_once(cache: PackageCache, registry: FakeRegistry) -> None:
    deployed = registry.deployed_version("doubler", 1)
    package = await cache.fetch(deployed)
    assert (package.digest, package.description.description) == (deployed.digest, "version 1")
    fetched = list(registry.downloads)
    registry.up = False
    assert (await cache.fetch(deployed)).digest == deployed.digest
    assert registry.downloads == fetched
    with pytest.raises(Unavailable):
        await cache.fetch(registry.deployed_version("doubler", 2))


async def test_files_that_serving_does_not_need_stay_in_the_registry(
    cache: PackageCache, registry: FakeRegistry, tmp_path: Path
) -> None:
    labels = [{"op": "classify", "input": "y", "labels": "标签/动物.txt", "top_k": 1}]
    files = {"trained.pth": b"w" * 5000, "说明.md": "读我".encode(), "标签/动物.txt": "猫\n狗\n".encode()}
    pushed = onnx_package(tmp_path / "package", name="pets", postprocess=labels, files=files)
    deployed = registry.deployed_version("pets", registry.push(pushed))
    package = await cache.fetch(deployed)
    assert package.digest == pushed.digest == deployed.digest
    assert package.postprocess_files() == {"标签/动物.txt": files["标签/动物.txt"]}
    fetched = {path for path, file in pushed.files.items() if file.sha256 in registry.downloads}
    assert fetched == {"lepton.yaml", "model.onnx", "标签/动物.txt"}
    before = list(registry.downloads)
    assert (await cache.fetch(deployed)).digest == deployed.digest
    assert registry.downloads == before


@pytest.mark.parametrize("name", ["lepton.yaml", "model.onnx"])
async def test_a_file_that_is_missing_on_the_disk_is_fetched_again(
    cache: PackageCache, registry: FakeRegistry, name: str
) -> None:
    deployed = registry.deployed_version("doubler", 1)
    (await cache.fetch(deployed)).path(name).unlink()
    assert (await cache.fetch(deployed)).path(name).is_file()


@pytest.mark.parametrize("content", [b"short", b"x" * 10_000], ids=["shorter", "longer"])
async def test_a_file_that_is_not_what_the_manifest_says_is_refused(
    cache: PackageCache, registry: FakeRegistry, content: bytes, tmp_path: Path
) -> None:
    deployed = registry.deployed_version("doubler", 1)
    registry.damaged[deployed.manifest.files[0].sha256] = content
    with pytest.raises(DataLoss, match="is not what was pushed"):
        await cache.fetch(deployed)
    assert list((tmp_path / "cache").iterdir()) == []


async def test_a_file_damaged_on_the_disk_is_fetched_again(
    cache: PackageCache, registry: FakeRegistry, tmp_path: Path
) -> None:
    deployed = registry.deployed_version("doubler", 1)
    package = await cache.fetch(deployed)
    package.path("model.onnx").write_bytes(b"damaged")
    assert (await cache.fetch(deployed)).path("model.onnx").read_bytes() != b"damaged"


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", "a\\b", "a\0b", ""])
async def test_a_manifest_with_an_unsafe_path_is_refused_before_anything_is_written(
    cache: PackageCache, registry: FakeRegistry, tmp_path: Path, path: str
) -> None:
    deployed = registry.deployed_version("doubler", 1)
    deployed.manifest.files.add(path=path, size_bytes=1, sha256="0" * 64)
    with pytest.raises(InvalidInput):
        await cache.fetch(deployed)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("digest", ["", "../x", "0" * 64])
async def test_a_digest_that_is_not_the_manifests_is_refused(
    cache: PackageCache, registry: FakeRegistry, digest: str
) -> None:
    right = registry.deployed_version("doubler", 1)
    with pytest.raises(InvalidInput, match="digest"):
        await cache.fetch(registry_pb2.DeployedVersion(version=1, digest=digest, manifest=right.manifest))


async def test_only_what_is_used_and_the_latest_others_are_kept(
    cache: PackageCache, registry: FakeRegistry, tmp_path: Path
) -> None:
    used = (await cache.fetch(registry.deployed_version("doubler", 1))).digest
    os.utime(tmp_path / "cache" / used, (0, 0))
    for number in range(15):
        other = tmp_path / "cache" / f"{number:064x}"
        other.mkdir()
        os.utime(other, (100 + number, 100 + number))
    cache.prune({used})
    kept = {path.name for path in (tmp_path / "cache").iterdir()}
    assert kept == {used, *(f"{number:064x}" for number in range(5, 15))}


def unlisted(deployed: registry_pb2.DeployedVersion) -> registry_pb2.DeployedVersion:
    """As it is published where its list of files is long."""
    manifest = registry_pb2.Manifest(model=deployed.manifest.model)
    return registry_pb2.DeployedVersion(version=deployed.version, digest=deployed.digest, manifest=manifest)


async def test_a_list_of_files_that_was_too_long_to_be_published_is_asked_of_the_registry_once(
    cache: PackageCache, registry: FakeRegistry, tmp_path: Path
) -> None:
    deployed = unlisted(registry.deployed_version("doubler", 1))
    package = await cache.fetch(deployed)
    assert package.digest == deployed.digest
    registry.up = False
    later = PackageCache(tmp_path / "cache", registry, Locks(tmp_path / "locks"))  # another process, without a registry
    assert (await later.fetch(deployed)).digest == deployed.digest


async def test_a_damaged_list_on_the_disk_is_asked_for_again(
    cache: PackageCache, registry: FakeRegistry, tmp_path: Path
) -> None:
    deployed = unlisted(registry.deployed_version("doubler", 1))
    await cache.fetch(deployed)
    (tmp_path / "cache" / f"{deployed.digest}.manifest").write_bytes(b"\xff nonsense")
    assert (await cache.fetch(deployed)).digest == deployed.digest


async def test_a_list_of_another_version_is_refused(cache: PackageCache, registry: FakeRegistry) -> None:
    deployed = unlisted(registry.deployed_version("doubler", 1))
    registry.versions["doubler", 1] = registry.versions["doubler", 2]
    with pytest.raises(DataLoss, match="not the one that is deployed"):
        await cache.fetch(deployed)


async def test_lists_go_with_their_packages(cache: PackageCache, registry: FakeRegistry, tmp_path: Path) -> None:
    push_versions(registry, tmp_path / "many", 14, name="many")
    digests = []
    for version in range(1, 15):
        deployed = unlisted(registry.deployed_version("many", version))
        digests.append((await cache.fetch(deployed)).digest)
    cache.prune({digests[0]})
    left = {path.name for path in (tmp_path / "cache").iterdir()}
    lists = {name.removesuffix(".manifest") for name in left if name.endswith(".manifest")}
    assert lists == left - {f"{digest}.manifest" for digest in lists}
    assert digests[0] in lists
