"""A backup that was taken while the registry serves, in an empty one: the same digests, and etcd is filled again."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sqlite3
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from lepton_ai.addresses import Addresses
from lepton_ai.backup.dump import DUMP_FILE
from lepton_ai.client import AsyncClient
from lepton_ai.errors import DataLoss, FailedPrecondition, LeptonError
from lepton_ai.mesh.discovery.records import decode_deployment, deployment_key
from lepton_ai.package import Package
from lepton_ai.signing.keys import create_keys
from lepton_ai.testing import MemoryStore, eventually
from lepton_ai.v1 import registry_pb2 as pb
from tests.integration.registry.served import Served, serving
from tests.postgresql import LocalPostgresql
from tests.sample_packages import onnx_package, variant_package


def package(directory: Path, **about: Any) -> Path:
    return onnx_package(directory, **about).directory


@asynccontextmanager
async def registry(directory: Path, state: MemoryStore, **changes: Any) -> AsyncIterator[tuple[Served, AsyncClient]]:
    async with (
        serving(directory, state, republish_interval_s=0.1, **changes) as served,
        AsyncClient(Addresses(registry=served.address)) as client,
    ):
        yield served, client


async def fill(client: AsyncClient, directory: Path) -> None:
    """Two models, signed, named and deployed, one with a variant, another with one of a deleted version."""
    private, _ = create_keys(directory / "key")
    await client.push(package(directory / "猫", description="猫"), sign=private)
    await client.push(package(directory / "next", description="next", files={"empty.txt": b""}))
    light = variant_package(directory / "int8", Package.read(directory / "猫"))
    await client.push(light.directory, sign=private, variant_of="doubler@1", variant="int8")
    await client.push(package(directory / "other", name="other"))
    await client.push(package(directory / "gone", name="other", description="gone", files={"gone.bin": b"gone"}))
    lost = variant_package(directory / "lost", Package.read(directory / "gone"))
    await client.push(lost.directory, variant_of="other@2")
    await client.archive_version("other@2")
    await client.delete_version("other@2")
    await client.set_alias("doubler", "staging", 2)
    await client.create_webhook("http://127.0.0.1:9/hook", ["model_version_variant.created"], secret="a secret of ours")
    await client.deploy("doubler@1", wait_s=0)
    await client.start_rollout("doubler@2", [5])
    await client.control_rollout("doubler", "abort")


async def state_of(client: AsyncClient) -> list[pb.Model]:
    return list(await client.models())


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Where the restored registry keeps its rows; the one that is backed up has SQLite."""
    if request.param == "sqlite":
        return {}
    server: LocalPostgresql = request.getfixturevalue("shared_postgresql")
    return {"database_url": SecretStr(server.url(await server.new_database()))}


async def test_a_restored_registry_is_the_one_that_was_backed_up(tmp_path: Path, database: dict[str, Any]) -> None:
    async with registry(tmp_path / "first", MemoryStore()) as (_, client):
        await fill(client, tmp_path)
        before, decided = await state_of(client), await client.rollouts(decisions=True)
        assert [len(each.decisions) for each in decided] == [2]
        gone = next(iter(sorted((tmp_path / "first/blobs").rglob(hashlib.sha256(b"gone").hexdigest()))))
        gone.unlink()  # as it will be when nobody needs it any more
        summary = await client.back_up(tmp_path / "backup")
        assert summary.new_bytes == summary.size_bytes > 0
        anchor = (await client.verify_audit()).newest_hash
    state = MemoryStore()
    async with registry(tmp_path / "second", state, **database) as (served, client):
        restored = await client.restore(tmp_path / "backup")
        assert restored.models == 2
        assert await state_of(client) == before
        assert await client.rollouts(decisions=True) == decided
        key = deployment_key("doubler")
        await eventually(lambda: published(state, key), description="etcd has the deployment")
        (deployed,) = decode_deployment(key, (await state.get(key)) or b"").versions
        assert deployed.digest == next(each.digest for each in before[0].versions if each.version == 1)
        assert await client.check_storage() == []
        audit = await client.verify_audit(anchor)
        assert (audit.broken, audit.anchored) == (0, True)
        assert (await client.audit())[0].action == "restore_backup"
        pushed = await client.push(package(tmp_path / "third", description="third"))
        assert pushed.version == 3
        assert (await client.create_webhook("http://127.0.0.1:9/", ["rollout.created"])).webhook.id == 2
        await client.deploy("doubler@3", wait_s=0)
        assert (await client.start_rollout("doubler@2", [5])).id == 3
        request = pb.GetSignatureRequest()
        request.model.name, request.model.version = "doubler", 1
        assert (await served.stub.GetSignature(request, timeout=30)).bundle


async def published(state: MemoryStore, key: str) -> bool:
    return await state.get(key) is not None


async def test_a_further_backup_fetches_only_what_is_new_and_mends_what_is_damaged(tmp_path: Path) -> None:
    async with registry(tmp_path / "data", MemoryStore()) as (_, client):
        await fill(client, tmp_path)
        first = await client.back_up(tmp_path / "backup")
        assert (await client.back_up(tmp_path / "backup")).new_bytes == 0
        await client.push(package(tmp_path / "more", description="more", files={"more.bin": b"m" * 1000}))
        second = await client.back_up(tmp_path / "backup")
        assert 1000 <= second.new_bytes < first.size_bytes + 1000
        (damaged, *_) = sorted((tmp_path / "backup/files").glob("*/*"))
        damaged.write_bytes(b"damaged")
        assert (await client.back_up(tmp_path / "backup")).new_bytes > 0
        assert hashlib.sha256(damaged.read_bytes()).hexdigest() == damaged.name


async def test_a_backup_under_pushes_fits_together(tmp_path: Path) -> None:
    async with registry(tmp_path / "data", MemoryStore(), max_concurrent_pushes=4) as (_, client):
        await fill(client, tmp_path)
        is_over = asyncio.Event()

        async def keep_pushing(worker: int) -> None:
            number = 0
            while not is_over.is_set():
                number += 1
                pushed = package(tmp_path / f"p{worker}-{number}", description=f"{worker} {number}")
                await client.push(pushed)
                await client.set_alias("doubler", f"w{worker}", 1 + number % 2)

        pushing = [asyncio.create_task(keep_pushing(worker)) for worker in range(2)]
        for turn in range(3):
            await client.back_up(tmp_path / f"backup{turn}")
        is_over.set()
        await asyncio.gather(*pushing)
    for turn in range(3):
        async with registry(tmp_path / f"restored{turn}", MemoryStore()) as (_, client):
            await client.restore(tmp_path / f"backup{turn}")
            assert await client.check_storage() == []
            assert (await client.verify_audit()).broken == 0


def names_in(directory: Path, part: str) -> set[str]:
    return {path.name for path in directory.iterdir() if part in path.name}


async def test_a_backup_can_be_one_file(tmp_path: Path) -> None:
    async with registry(tmp_path / "data", MemoryStore()) as (_, client):
        await fill(client, tmp_path)
        before = await state_of(client)
        await client.back_up(tmp_path / "monday.tar")
    assert names_in(tmp_path, "monday") == {"monday.tar"}
    content = (tmp_path / "monday.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(content[: len(content) // 2])
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        (tmp_path / "letter").write_text("dear")
        archive.add(tmp_path / "letter", "../../letter")
    async with registry(tmp_path / "restored", MemoryStore()) as (_, client):
        for damaged in ("cut.tar", "evil.tar"):
            with pytest.raises(DataLoss):
                await client.restore(tmp_path / damaged)
        await client.restore(tmp_path / "monday.tar")
        assert await state_of(client) == before


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made")
    async with registry(directory / "data", MemoryStore()) as (_, client):
        await fill(client, directory)
        await client.back_up(directory / "backup")
    return directory / "backup"


class TestRefusals:
    """Nothing is written, and the next attempt can succeed."""

    @pytest.fixture
    def backup(self, tmp_path: Path, made: Path) -> Path:
        return Path(shutil.copytree(made, tmp_path / "backup"))

    async def refused(self, tmp_path: Path, backup: Path) -> LeptonError:
        async with registry(tmp_path / "target", MemoryStore()) as (served, client):
            with pytest.raises(LeptonError) as caught:
                await client.restore(backup)
            assert await state_of(client) == []
            assert served.leftovers() == []
        return caught.value

    async def test_a_damaged_file(self, tmp_path: Path, backup: Path) -> None:
        (damaged, *_) = sorted((backup / "files").glob("*/*"))
        damaged.write_bytes(damaged.read_bytes() + b"x")
        assert isinstance(await self.refused(tmp_path, backup), DataLoss)

    async def test_a_missing_file(self, tmp_path: Path, backup: Path) -> None:
        sorted((backup / "files").glob("*/*"))[0].unlink()
        assert isinstance(await self.refused(tmp_path, backup), DataLoss)

    @pytest.mark.parametrize("change", ["flip", "cut", "append", "drop", "empty"])
    async def test_a_damaged_dump(self, tmp_path: Path, backup: Path, change: str) -> None:
        content = (backup / DUMP_FILE).read_bytes()
        middle = len(content) // 2
        lines = content.splitlines(keepends=True)
        changed = {
            "flip": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            "cut": content[:middle],
            "append": content + lines[1],
            "drop": b"".join(lines[:2] + lines[3:]),
            "empty": b"",
        }
        (backup / DUMP_FILE).write_bytes(changed[change])
        assert isinstance(await self.refused(tmp_path, backup), DataLoss)

    async def test_a_folder_without_a_backup(self, tmp_path: Path) -> None:
        (tmp_path / "nothing").mkdir()
        assert (await self.refused(tmp_path, tmp_path / "nothing")).reason == "BACKUP_DAMAGED"

    async def test_a_registry_that_is_not_empty(self, tmp_path: Path, backup: Path) -> None:
        async with registry(tmp_path / "target", MemoryStore()) as (_, client):
            await client.push(package(tmp_path / "there", name="there"))
            with pytest.raises(FailedPrecondition, match="not empty"):
                await client.restore(backup)
            assert [model.name for model in await state_of(client)] == ["there"]

    async def test_rows_that_do_not_fit_together(self, tmp_path: Path) -> None:
        """By somebody who can make a dump's hash: the registry looks for itself."""
        async with registry(tmp_path / "data", MemoryStore()) as (_, client):
            await fill(client, tmp_path)
            with sqlite3.connect(tmp_path / "data/registry.sqlite", timeout=30) as direct:
                direct.execute("UPDATE files SET path = 'elsewhere.onnx' WHERE path = 'model.onnx'")
            direct.close()
            await client.back_up(tmp_path / "backup")
        error = await self.refused_rows(tmp_path)
        assert "has other files than its digest says" in error.message

    async def refused_rows(self, tmp_path: Path) -> LeptonError:
        async with registry(tmp_path / "target", MemoryStore()) as (_, client):
            with pytest.raises(DataLoss) as caught:
                await client.restore(tmp_path / "backup")
            assert await state_of(client) == []
        return caught.value

    async def test_a_folder_of_something_else_is_not_written_into(self, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine/letter.txt").write_text("dear")
        async with registry(tmp_path / "data", MemoryStore()) as (_, client):
            with pytest.raises(FailedPrecondition, match="something else"):
                await client.back_up(tmp_path / "mine")
        shutil.rmtree(tmp_path / "mine")
