"""A file from the registry is written whole, and only when it is the one that was pushed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lepton_ai.errors import DataLoss
from lepton_ai.package.transfer import write_chunks
from lepton_ai.v1 import registry_pb2

CONTENT = b"weights" * 100
FILE = registry_pb2.PackageFile(path="trained.pth", size_bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())


async def sent(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_what_was_pushed_is_written(tmp_path: Path) -> None:
    path = await write_chunks(tmp_path / "file", FILE, sent(CONTENT[:10], b"", CONTENT[10:]))
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "chunks", [(), (CONTENT[:-1],), (CONTENT, b"more"), (CONTENT[:-1] + b"!",)], ids=["none", "less", "more", "other"]
)
async def test_anything_else_is_refused_and_leaves_the_old_file(tmp_path: Path, chunks: tuple[bytes, ...]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(DataLoss, match=r"trained\.pth.*Push the package again"):
        await write_chunks(path, FILE, sent(*chunks))
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208 - no pathlib in async code
    assert path.read_bytes() == b"old"
