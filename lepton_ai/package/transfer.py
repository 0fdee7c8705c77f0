"""Files of a package on their way to and from the registry: in chunks, off the event loop, hashed as they pass."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import IO, Protocol, TypeVar

import grpc

from lepton_ai.archive import replacing
from lepton_ai.errors import DataLoss
from lepton_ai.v1 import registry_pb2, registry_pb2_grpc

T = TypeVar("T")

OnProgress = Callable[[int, int], None]
"""Called with (bytes sent, bytes to send in all)."""

_CHUNK_BYTES = 1 << 20


class RegistryPool(Protocol):
    """What is needed of `lepton_ai.mesh.calling.pool.ServicePool`."""

    async def call(
        self, invoke: Callable[[grpc.aio.Channel, float], Awaitable[T]], *, timeout_s: float, idempotent: bool = True
    ) -> T:
        """Call some replica of the registry; a call that is tried again calls `invoke` again."""


async def read_chunks(
    paths: Mapping[str, Path], on_progress: OnProgress | None
) -> AsyncIterator[registry_pb2.FileChunk]:
    """The content of every file (SHA-256 → path), one file after the other. Empty files give one empty chunk."""
    total = sum(path.stat().st_size for path in paths.values())
    sent = 0
    for sha256, path in paths.items():
        with await asyncio.to_thread(path.open, "rb") as file:
            data = await asyncio.to_thread(file.read, _CHUNK_BYTES)
            yield registry_pb2.FileChunk(sha256=sha256, data=data)
            while data:
                sent += len(data)
                if on_progress is not None:
                    on_progress(sent, total)
                if data := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                    yield registry_pb2.FileChunk(sha256=sha256, data=data)


async def write_chunks(
    path: Path, file: registry_pb2.PackageFile, chunks: AsyncIterable[registry_pb2.DownloadFileResponse]
) -> Path:
    """Put the content at `path`, whole or not at all. Raises DataLoss for another content, ResourceExhausted."""
    with replacing(path) as output:
        async for data in _checked(file, chunks):
            await asyncio.to_thread(output.write, data)
        await asyncio.to_thread(_sync, output)  # a large file takes seconds, which the event loop does not have
    return path


async def download_to(registry: RegistryPool, file: registry_pb2.PackageFile, path: Path, *, timeout_s: float) -> None:
    """Fetch a file of a package from the registry to `path`. Raises as `write_chunks`, and what the call raises."""

    async def save(channel: grpc.aio.Channel, timeout_s: float) -> None:
        await write_chunks(path, file, _stream(channel, file, timeout_s))

    await registry.call(save, timeout_s=timeout_s)


async def download(registry: RegistryPool, file: registry_pb2.PackageFile, *, timeout_s: float) -> bytes:
    """The content of a small file of a package. Raises DataLoss for another content, and what the call raises."""

    async def read(channel: grpc.aio.Channel, timeout_s: float) -> bytes:
        return b"".join([data async for data in _checked(file, _stream(channel, file, timeout_s))])

    return await registry.call(read, timeout_s=timeout_s)


def _stream(
    channel: grpc.aio.Channel, file: registry_pb2.PackageFile, timeout_s: float
) -> AsyncIterable[registry_pb2.DownloadFileResponse]:
    request = registry_pb2.DownloadFileRequest(sha256=file.sha256)
    return registry_pb2_grpc.RegistryServiceStub(channel).DownloadFile(request, timeout=timeout_s)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


async def _checked(
    file: registry_pb2.PackageFile, chunks: AsyncIterable[registry_pb2.DownloadFileResponse]
) -> AsyncIterator[bytes]:
    """The chunks as they come, but no more than the manifest allows. Raises DataLoss for another content."""
    digest, size_bytes = hashlib.sha256(), 0
    async for chunk in chunks:
        size_bytes += len(chunk.data)
        if size_bytes > file.size_bytes:
            break
        digest.update(chunk.data)
        yield chunk.data
    if size_bytes != file.size_bytes or digest.hexdigest() != file.sha256:
        raise DataLoss(
            f"What the registry sent as {file.path[:255]!r} is not what was pushed.",
            reason="FILE_DAMAGED",
            fix="Push the package again.",
        )
