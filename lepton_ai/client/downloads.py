"""Writes a file of a package as it arrives from the registry, and checks that it is the one that was pushed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable
from pathlib import Path

from lepton_ai.archive import replacing
from lepton_ai.errors import DataLoss
from lepton_ai.v1 import registry_pb2


async def write_chunks(
    path: Path, file: registry_pb2.PackageFile, chunks: AsyncIterable[registry_pb2.DownloadFileResponse]
) -> Path:
    """Put the content at `path`, whole or not at all. Raises DataLoss for another content, ResourceExhausted."""
    digest, size_bytes = hashlib.sha256(), 0
    with replacing(path) as output:
        async for chunk in chunks:
            size_bytes += len(chunk.data)
            if size_bytes > file.size_bytes:
                break
            digest.update(chunk.data)
            await asyncio.to_thread(output.write, chunk.data)
        if size_bytes != file.size_bytes or digest.hexdigest() != file.sha256:
            raise DataLoss(
                f"What the registry sent as {file.path!r} is not what was pushed.",
                reason="FILE_DAMAGED",
                fix="Push the package again.",
            )
    return path
