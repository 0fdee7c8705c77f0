"""What every place for files does, and what is in them; the fixtures `blobs` and `source` go with it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lepton_ai.errors import DataLoss
from services.registry.storage.blobs import FileBlobs

CONTENT = bytes(range(256)) * 10_000
SHA = hashlib.sha256(CONTENT).hexdigest()


async def read(blobs: FileBlobs, sha256: str) -> bytes:
    return b"".join([chunk async for chunk in blobs.read(sha256)])


class BlobsContract:
    """A subclass whose name begins with Test runs them."""

    async def test_what_is_put_can_be_read_and_fetched(self, blobs: FileBlobs, source: Path, tmp_path: Path) -> None:
        await blobs.put(SHA, source)
        await blobs.put(SHA, source)
        assert await read(blobs, SHA) == CONTENT
        await blobs.fetch(SHA, tmp_path / "target")
        assert (tmp_path / "target").read_bytes() == CONTENT

    async def test_chunks_are_bounded(self, blobs: FileBlobs, source: Path) -> None:
        await blobs.put(SHA, source)
        assert max([len(chunk) async for chunk in blobs.read(SHA)]) == 1 << 20

    async def test_content_under_a_wrong_name_is_not_kept(self, blobs: FileBlobs, source: Path) -> None:
        with pytest.raises(DataLoss):
            await blobs.put("0" * 64, source)
        assert await blobs.keep_only([]) == 0, "something was left behind"

    async def test_a_missing_blob_is_data_loss(self, blobs: FileBlobs, tmp_path: Path) -> None:
        with pytest.raises(DataLoss):
            await read(blobs, SHA)
        with pytest.raises(DataLoss):
            await blobs.fetch(SHA, tmp_path / "target")

    async def test_unwanted_blobs_are_deleted(self, blobs: FileBlobs, source: Path) -> None:
        await blobs.put(SHA, source)
        assert await blobs.keep_only([SHA]) == 0
        assert await blobs.keep_only([]) == 1
        await blobs.delete(SHA)
        with pytest.raises(DataLoss):
            await read(blobs, SHA)

    async def test_what_is_missing_is_not_sound(self, blobs: FileBlobs, source: Path) -> None:
        assert await blobs.find_unsound([SHA]) == {SHA}
        await blobs.put(SHA, source)
        assert await blobs.find_unsound([SHA]) == frozenset()
        assert await blobs.sizes() == {SHA: len(CONTENT)}
        await blobs.delete(SHA)
        assert await blobs.find_unsound([SHA]) == {SHA}

    async def test_what_is_there_says_how_old_it_is(self, blobs: FileBlobs, source: Path) -> None:
        assert await blobs.find_missing([SHA]) == {SHA}
        assert await blobs.age_s(SHA) == 0.0
        await blobs.put(SHA, source)
        assert await blobs.find_missing([SHA]) == frozenset()
        assert -5.0 < await blobs.age_s(SHA) < 60.0
