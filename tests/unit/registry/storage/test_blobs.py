"""Content-addressed files: whole or absent, and never something else. What a disk can do to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_ai.errors import DataLoss
from services.registry.storage.blobs import FileBlobs, open_blobs
from tests.unit.registry.storage.contract import CONTENT, SHA, BlobsContract, read


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    return open_blobs(str(tmp_path / "blobs"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


class TestDirectory(BlobsContract):
    pass


async def test_a_damaged_blob_is_noticed(source: Path, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    blobs = FileBlobs.in_directory(tmp_path / "blobs")
    await blobs.put(SHA, source)
    stored = tmp_path / "blobs" / SHA[:2] / SHA
    stored.write_bytes(CONTENT[:-1] + b"\0")
    with pytest.raises(DataLoss) as caught:
        await read(blobs, SHA)
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(DataLoss):
        await blobs.fetch(SHA, tmp_path / "target")


def stored(directory: Path) -> Path:
    return directory / "blobs" / SHA[:2] / SHA


@pytest.fixture
def on_disk(tmp_path: Path) -> FileBlobs:
    (tmp_path / "blobs").mkdir()
    return FileBlobs.in_directory(tmp_path / "blobs")


async def test_a_changed_blob_is_found_and_put_again(on_disk: FileBlobs, source: Path, tmp_path: Path) -> None:
    await on_disk.put(SHA, source)
    stored(tmp_path).write_bytes(CONTENT[:-1] + b"\0")
    assert await on_disk.find_unsound([SHA]) == {SHA}
    await on_disk.put(SHA, source)
    assert await on_disk.find_unsound([SHA]) == frozenset()
    assert await read(on_disk, SHA) == CONTENT


async def test_a_blob_that_has_not_changed_is_hashed_once(on_disk: FileBlobs, source: Path, tmp_path: Path) -> None:
    await on_disk.put(SHA, source)
    damage_unseen(on_disk, stored(tmp_path))
    assert await on_disk.find_unsound([SHA]) == frozenset()
    assert await on_disk.find_unsound([SHA], afresh=True) == {SHA}
    assert await on_disk.find_unsound([SHA]) == {SHA}


async def test_what_a_reader_found_damaged_is_not_sound_any_more(
    on_disk: FileBlobs, source: Path, tmp_path: Path
) -> None:
    await on_disk.put(SHA, source)
    damage_unseen(on_disk, stored(tmp_path))
    with pytest.raises(DataLoss, match="Push the same package again"):
        await read(on_disk, SHA)
    assert await on_disk.find_unsound([SHA]) == {SHA}


async def test_after_a_restart_everything_is_hashed_again(on_disk: FileBlobs, source: Path, tmp_path: Path) -> None:
    await on_disk.put(SHA, source)
    damage_unseen(on_disk, stored(tmp_path))
    assert await FileBlobs.in_directory(tmp_path / "blobs").find_unsound([SHA]) == {SHA}


def damage_unseen(blobs: FileBlobs, path: Path) -> None:
    """As a disk does that returns something else than was written: nothing of it shows from outside."""
    path.write_bytes(b"X" + CONTENT[1:])
    stamp = blobs._stamp(SHA)
    assert stamp is not None
    blobs._whole[SHA] = stamp


async def test_half_written_blobs_are_cleared_away(source: Path, tmp_path: Path) -> None:
    (tmp_path / "blobs" / "partial").mkdir(parents=True)
    (tmp_path / "blobs" / "partial" / f"{SHA}.1").write_bytes(CONTENT[:100])
    blobs = FileBlobs.in_directory(tmp_path / "blobs")
    assert await blobs.keep_only([SHA]) == 1
    await blobs.put(SHA, source)
    assert await read(blobs, SHA) == CONTENT
