"""What no version holds goes when it is old; what a version holds, and what is young, stays."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from services.registry.database.sql_store import SqlStore
from services.registry.database.store import FileRecord, NewVersion
from services.registry.storage.blobs import FileBlobs, open_blobs
from services.registry.storage.collector import Collector

DAY_S = 86400.0


async def stored(blobs: FileBlobs, tmp_path: Path, content: bytes, *, age_s: float) -> str:
    source = tmp_path / "source"
    source.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    await blobs.put(sha256, source)
    grow_old(tmp_path / "blobs" / sha256[:2] / sha256, age_s)
    return sha256


def grow_old(path: Path, age_s: float) -> None:
    then = time.time() - age_s
    os.utime(path, (then, then))


async def test_only_what_is_old_and_in_no_version_is_deleted(store: SqlStore, tmp_path: Path) -> None:
    blobs = open_blobs(str(tmp_path / "blobs"))
    held = await stored(blobs, tmp_path, b"held", age_s=2 * DAY_S)
    young = await stored(blobs, tmp_path, b"young", age_s=60.0)
    old = await stored(blobs, tmp_path, b"old", age_s=2 * DAY_S)
    async with store.writing() as writing:
        await writing.add_version(NewVersion("cat", "0" * 64, "", (FileRecord("a.onnx", 4, held),)))
    collector = Collector(store, blobs)
    assert await collector.collect() == 1
    assert set(await blobs.sizes()) == {held, young}
    assert await blobs.find_missing([old]) == {old}
    assert await collector.collect() == 0


async def test_what_killed_writers_left_behind_goes_when_it_is_old(store: SqlStore, tmp_path: Path) -> None:
    blobs = open_blobs(str(tmp_path / "blobs"))
    partial = tmp_path / "blobs" / "partial"
    partial.mkdir()
    for name, age_s in (("old", 2 * DAY_S), ("young", 60.0)):
        (partial / name).write_bytes(b"half")
        grow_old(partial / name, age_s)
    assert await Collector(store, blobs).collect() == 1
    assert [path.name for path in partial.iterdir()] == ["young"]
