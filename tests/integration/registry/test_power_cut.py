"""A power cut loses what was not synced. What the database says exists must have been synced before it said so."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.testing import MemoryStore
from services.registry.database.sql_store import SqlStore
from tests.integration.registry.served import Served, push, serving
from tests.sample_packages import onnx_bytes, onnx_package

Inode = tuple[int, int]


@dataclass
class Disk:
    """What would be there after a power cut: what was in files and folders when they were last synced."""

    contents: dict[Inode, str] = field(default_factory=dict)
    """File → hash of its content."""
    folders: dict[Inode, dict[str, Inode]] = field(default_factory=dict)

    def note(self, descriptor: int) -> None:
        """A file or folder was synced just now."""
        status = os.fstat(descriptor)
        inode = (status.st_dev, status.st_ino)
        if stat.S_ISDIR(status.st_mode):
            entries = {name: os.stat(name, dir_fd=descriptor, follow_symlinks=False) for name in os.listdir(descriptor)}
            self.folders[inode] = {name: (entry.st_dev, entry.st_ino) for name, entry in entries.items()}
            return
        content = Path(f"/proc/self/fd/{descriptor}").read_bytes()
        self.contents[inode] = hashlib.sha256(content).hexdigest()

    def lookup(self, root: Path, *parts: str) -> str | None:
        """The hash of what lies there after the cut."""
        status = root.stat()
        inode = (status.st_dev, status.st_ino)
        for part in parts:
            if part not in self.folders.get(inode, {}):
                return None
            inode = self.folders[inode][part]
        return self.contents.get(inode)


@dataclass
class Watched:
    """A registry, and what was lost at each moment when the database had committed something."""

    served: Served
    disk: Disk
    lost: list[str] = field(default_factory=list)
    commits: int = 0


def recorded_files(database: Path) -> set[str]:
    """The hashes of all files of all versions that are committed."""
    with sqlite3.connect(database) as connection:
        return {row[0] for row in connection.execute("SELECT DISTINCT sha256 FROM files")}


@pytest.fixture
async def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    disk = Disk()
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, noting(disk, getattr(os, name)))
    async with serving(tmp_path / "data", MemoryStore()) as served:
        made = Watched(served, disk)
        monkeypatch.setattr(SqlStore, "writing", looking(made, SqlStore.writing))
        yield made


def noting(disk: Disk, sync: Callable[[int], None]) -> Callable[[int], None]:
    def synced(descriptor: int) -> None:
        sync(descriptor)
        disk.note(descriptor)

    return synced


def looking(watched: Watched, writing: Any) -> Any:
    """`SqlStore.writing`, after which it is looked up what a power cut would leave."""

    @asynccontextmanager
    async def looked(store: SqlStore) -> AsyncIterator[Any]:
        async with writing(store) as transaction:
            yield transaction
        watched.commits += 1
        blobs = watched.served.data_dir / "blobs"
        for sha256 in recorded_files(watched.served.data_dir / "registry.sqlite"):
            if watched.disk.lookup(blobs, sha256[:2], sha256) != sha256:
                watched.lost.append(sha256)

    return looked


async def test_no_version_is_recorded_before_its_files_and_their_names_are_synced(
    watched: Watched, tmp_path: Path
) -> None:
    dice = random.Random(3)
    packages = [
        onnx_package(
            tmp_path / str(number),
            name=f"model-{number % 3}",
            model=onnx_bytes(factor=float(number)),
            files={"big.bin": dice.randbytes(dice.randrange(1, 3 << 20)), "same.txt": b"the same in all"},
        )
        for number in range(8)
    ]
    await asyncio.gather(*(push(watched.served.stub, package) for package in packages[:4]))
    for package in packages[4:]:
        await push(watched.served.stub, package)
    assert watched.commits >= len(packages)
    assert watched.lost == []


async def test_the_check_finds_what_is_not_synced(watched: Watched, tmp_path: Path) -> None:
    watched.disk.note = lambda descriptor: None  # type: ignore[method-assign]
    await push(watched.served.stub, onnx_package(tmp_path / "p"))
    assert watched.lost
