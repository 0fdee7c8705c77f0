"""A replica that requires signatures loads what was signed and nothing else, whoever may write etcd or a disk."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from lepton_ai.package import manifest_digest
from lepton_ai.signing.keys import SigningKey, create_keys
from lepton_ai.testing import eventually
from lepton_ai.v1 import registry_pb2 as pb
from tests.integration.signing.platform import Platform, refused, served_by
from tests.sample_packages import onnx_bytes, onnx_package


async def test_a_signed_version_is_served(platform: Platform, tmp_path: Path) -> None:
    version = await platform.push(onnx_package(tmp_path / "p"))
    async with platform.replica() as replica:
        await platform.deploy(version)
        await served_by(replica, 1)


async def test_an_unsigned_version_is_refused_until_it_is_signed(platform: Platform, tmp_path: Path) -> None:
    version = await platform.push(onnx_package(tmp_path / "p"), signed=False)
    async with platform.replica() as replica:
        await platform.deploy(version)
        assert "is not signed" in await refused(replica, 1)
        await platform.sign(version)
        await served_by(replica, 1)


async def test_a_version_that_a_stranger_signed_is_refused(platform: Platform, tmp_path: Path) -> None:
    version = await platform.push(onnx_package(tmp_path / "p"), signed=False)
    stranger, _ = create_keys(tmp_path / "stranger.key")
    await platform.sign(version, SigningKey(stranger))
    async with platform.replica() as replica:
        await platform.deploy(version)
        assert "not trusted" in await refused(replica, 1)


async def test_with_a_warning_all_is_served(
    platform: Platform, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    version = await platform.push(onnx_package(tmp_path / "p"), signed=False)
    async with platform.replica("warn") as replica:
        await platform.deploy(version)
        await served_by(replica, 1)
    assert "doubler@1 is not signed" in caplog.text


def _flip(manifest: pb.Manifest) -> None:
    file = next(file for file in manifest.files if file.path == "model.onnx")
    file.sha256 = f"{int(file.sha256[0], 16) ^ 1:x}{file.sha256[1:]}"


def _add(manifest: pb.Manifest) -> None:
    manifest.files.add(path="more.bin", size_bytes=0, sha256="0" * 64)


def _remove(manifest: pb.Manifest) -> None:
    del manifest.files[[file.path for file in manifest.files].index("labels.txt")]


def _swap(manifest: pb.Manifest) -> None:
    first, second = (file for file in manifest.files if file.path in ("labels.txt", "other.txt"))
    first.path, second.path = second.path, first.path


@pytest.mark.parametrize("change", [_flip, _add, _remove, _swap])
async def test_other_files_in_etcd_are_refused(platform: Platform, tmp_path: Path, change: object) -> None:
    files = {"labels.txt": b"cat\ndog\n", "other.txt": b"dog\ncat\n"}
    version = await platform.push(onnx_package(tmp_path / "p", files=files))
    await platform.deploy(version)

    def forge(deployment: pb.Deployment) -> None:
        deployed = deployment.versions[0]
        change(deployed.manifest)  # type: ignore[operator]
        deployed.digest = manifest_digest(deployed.manifest)

    await platform.forge("doubler", forge)
    async with platform.replica() as replica:
        await refused(replica, 1)


async def test_another_models_signed_files_are_refused(platform: Platform, tmp_path: Path) -> None:
    version = await platform.push(onnx_package(tmp_path / "p"))
    other = await platform.push(onnx_package(tmp_path / "q", name="other"))
    await platform.deploy(version)

    def forge(deployment: pb.Deployment) -> None:
        deployment.versions[0].digest = other.digest
        deployment.versions[0].manifest.CopyFrom(other.manifest)

    await platform.forge("doubler", forge)
    async with platform.replica() as replica:
        assert "files" in await refused(replica, 1) or "not for" in replica.status(1).message


class TestReplay:
    """An older version that was signed for good reason, in the place of a newer one."""

    async def _two(self, platform: Platform, tmp_path: Path) -> tuple[pb.ModelVersion, pb.ModelVersion]:
        old = await platform.push(onnx_package(tmp_path / "old", description="with a hole"))
        new = await platform.push(onnx_package(tmp_path / "new", description="mended"))
        await platform.deploy(new)
        return old, new

    async def test_in_etcd_is_refused(self, platform: Platform, tmp_path: Path) -> None:
        old, _ = await self._two(platform, tmp_path)

        def forge(deployment: pb.Deployment) -> None:
            deployment.versions[0].digest = old.digest
            deployment.versions[0].manifest.CopyFrom(old.manifest)

        await platform.forge("doubler", forge)
        async with platform.replica() as replica:
            assert "not those that were signed" in await refused(replica, 2)

    async def test_in_the_registrys_database_is_refused(self, platform: Platform, tmp_path: Path) -> None:
        """With its signature, and with a deployment that says the same."""
        old, _ = await self._two(platform, tmp_path)
        with sqlite3.connect(next(platform.served.data_dir.glob("*.sqlite*"))) as database:
            row = database.execute("SELECT bundle FROM signatures WHERE version = 1").fetchone()
            database.execute("UPDATE signatures SET bundle = ? WHERE version = 2", row)
        database.close()

        def forge(deployment: pb.Deployment) -> None:
            deployment.versions[0].digest = old.digest
            deployment.versions[0].manifest.CopyFrom(old.manifest)

        await platform.forge("doubler", forge)
        async with platform.replica() as replica:
            assert "is for doubler@1, not for doubler@2" in await refused(replica, 2)

    async def test_in_the_registrys_blobs_is_refused(self, platform: Platform, tmp_path: Path) -> None:
        old, new = await self._two(platform, tmp_path)
        blobs = {path.name: path for path in (platform.served.data_dir / "blobs").rglob("*") if path.is_file()}
        hashes = [{file.path: file.sha256 for file in version.manifest.files} for version in (old, new)]
        blobs[hashes[1]["lepton.yaml"]].write_bytes(blobs[hashes[0]["lepton.yaml"]].read_bytes())
        async with platform.replica() as replica:
            assert "is not what was pushed" in await refused(replica, 2)

    async def test_on_the_replicas_disk_is_replaced(self, platform: Platform, tmp_path: Path) -> None:
        old, new = await self._two(platform, tmp_path)
        async with platform.replica() as replica:
            await served_by(replica, 2)
            await platform.deploy(old)
            await served_by(replica, 1)
        packages, signatures = tmp_path / "replica/cache/packages", tmp_path / "replica/cache/signatures"
        mended = (packages / new.digest / "lepton.yaml").read_bytes()
        (packages / new.digest / "lepton.yaml").write_bytes((packages / old.digest / "lepton.yaml").read_bytes())
        (signatures / "doubler@2.sig").write_bytes((signatures / "doubler@1.sig").read_bytes())
        await platform.deploy(new)
        async with platform.replica() as replica:
            await served_by(replica, 2)
        assert (packages / new.digest / "lepton.yaml").read_bytes() == mended


async def test_what_lies_in_tritons_folder_is_hashed_where_triton_reads_it(platform: Platform, tmp_path: Path) -> None:
    version = await platform.push(onnx_package(tmp_path / "p"))
    await platform.deploy(version)
    async with platform.replica() as replica:
        await served_by(replica, 1)
    folder = tmp_path / "replica/models/doubler--v1/1"
    right = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name in right:
        (folder / name).unlink()  # it is a link of the package's file
        (folder / name).write_bytes(onnx_bytes(factor=666.0))
    (folder / "added.py").write_text("import os")
    platform.triton.restart()
    async with platform.replica() as replica:
        await served_by(replica, 1)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == right


async def test_files_that_change_between_the_check_and_the_load_are_fetched_again(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package's file and Triton's are one: who changes it after it was verified has changed what is loaded."""
    version = await platform.push(onnx_package(tmp_path / "p"))
    await platform.deploy(version)
    from services.inference.triton.repository import ModelRepository, TritonModel

    add, changed = ModelRepository.add, list[str]()

    def swapping(repository: ModelRepository, model: TritonModel) -> str:
        if len(changed) < 2:
            model.file.write_bytes(onnx_bytes(factor=666.0))
            changed.append(model.triton_name)
        return add(repository, model)

    monkeypatch.setattr(ModelRepository, "add", swapping)
    async with platform.replica() as replica:
        await served_by(replica, 1)
    assert changed
    assert (tmp_path / "replica/models/doubler--v1/1/model.onnx").read_bytes() == onnx_bytes()
    assert [name for kind, name in platform.triton.calls if kind == "load"] == ["doubler--v1"]


async def test_a_verified_version_is_loaded_again_without_the_registry(platform: Platform, tmp_path: Path) -> None:
    version = await platform.push(onnx_package(tmp_path / "p"))
    await platform.deploy(version)
    async with platform.replica() as replica:
        await served_by(replica, 1)
    platform.pool.up = False
    platform.triton.restart()
    async with platform.replica() as replica:
        await served_by(replica, 1)


async def test_a_key_that_is_trusted_no_more_counts_no_more(platform: Platform, tmp_path: Path) -> None:
    version = await platform.push(onnx_package(tmp_path / "p"))
    await platform.deploy(version)
    async with platform.replica() as replica:
        await served_by(replica, 1)
    private, public = create_keys(tmp_path / "next.key")
    public.replace(platform.trusted.paths[0])
    platform.triton.restart()
    async with platform.replica() as replica:
        assert "not trusted" in await refused(replica, 1)
        await platform.sign(version, SigningKey(private))
        await served_by(replica, 1)
        await eventually(lambda: replica.state_of(1) == "SERVING", description="it serves")
