"""Files of a package on their way to and from the registry: in chunks, off the event loop, hashed as they pass."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, TypeVar

import grpc

from lepton_ai.archive import replacing
from lepton_ai.errors import DataLoss
from lepton_ai.mesh.hashed_file import Content, HashedFile, read_ahead
from lepton_ai.mesh.machine import LEAST_BYTES, machine_name, open_place
from lepton_ai.mesh.wire import fields, head, tag
from lepton_ai.package.manifest import manifest_digest
from lepton_ai.v1 import common_pb2, registry_pb2, registry_pb2_grpc

T = TypeVar("T")
_LOG = logging.getLogger(__name__)

OnProgress = Callable[[int, int], None]
"""Called with (bytes that have arrived, those of them included that had before, bytes in all)."""

_SERVICE = "lepton.v1.RegistryService"
_DATA = tag(registry_pb2.DownloadFileResponse.DATA_FIELD_NUMBER)
Metadata = Sequence[tuple[str, str]]


class RegistryPool(Protocol):
    """What is needed of `lepton_ai.mesh.calling.pool.ServicePool`."""

    async def call(
        self, invoke: Callable[[grpc.aio.Channel, float], Awaitable[T]], *, timeout_s: float, idempotent: bool = True
    ) -> T:
        """Call some replica of the registry; a call that is tried again calls `invoke` again."""


@dataclass(frozen=True)
class Part:
    """A file that is to be sent from `offset` on: what comes before it has arrived already."""

    sha256: str
    path: Path
    offset: int = 0

    @property
    def size_bytes(self) -> int:
        """Of the whole file."""
        return self.path.stat().st_size

    @property
    def left_bytes(self) -> int:
        """What is to be sent."""
        return self.size_bytes - self.offset


async def read_chunks(parts: Sequence[Part], on_progress: OnProgress | None) -> AsyncGenerator[bytes]:
    """The content of every part, one after the other, as encoded PushVersionRequests.

    Where nothing is left to be sent there is one empty chunk.
    """
    total = sum(part.size_bytes for part in parts)
    sent = sum(part.offset for part in parts)
    for part in parts:
        if not part.left_bytes:
            yield encode_chunk(part, b"")
        with await asyncio.to_thread(part.path.open, "rb", buffering=0) as file:
            file.seek(part.offset)
            async with aclosing(read_ahead(file)) as chunks:
                async for data in chunks:
                    yield encode_chunk(part, data)
                    sent += len(data)
                    if on_progress is not None:
                        on_progress(sent, total)


def encode_chunk(part: Part, data: bytes) -> bytes:
    """A PushVersionRequest with a chunk of a part, without the copies that messages make of it."""
    about = registry_pb2.FileChunk(sha256=part.sha256, offset=part.offset).SerializeToString()
    about += head(registry_pb2.FileChunk.DATA_FIELD_NUMBER, len(data))
    return b"".join((head(registry_pb2.PushVersionRequest.CHUNK_FIELD_NUMBER, len(about) + len(data)), about, data))


def push_version(
    channel: grpc.aio.Channel, requests: AsyncIterator[bytes], *, timeout_s: float, proof: Metadata
) -> Awaitable[registry_pb2.PushVersionResponse]:
    """PushVersion of requests that are encoded already."""
    call: grpc.aio.StreamUnaryMultiCallable[bytes, registry_pb2.PushVersionResponse] = channel.stream_unary(
        f"/{_SERVICE}/PushVersion",
        request_serializer=None,
        response_deserializer=registry_pb2.PushVersionResponse.FromString,
    )
    response: Awaitable[registry_pb2.PushVersionResponse] = call(requests, timeout=timeout_s, metadata=proof)
    return response


async def write_chunks(path: Path, file: registry_pb2.PackageFile, chunks: AsyncIterable[Content]) -> Path:
    """Put the content at `path`, whole or not at all. Raises DataLoss for another content, ResourceExhausted."""
    with replacing(path) as output:
        hashed = HashedFile(output)
        try:
            async for data in chunks:
                if hashed.size_bytes + len(data) > file.size_bytes:
                    raise _damaged(file)
                await hashed.write(data)
            if await hashed.finish() != file.sha256:  # a large file takes its time, which the event loop does not have
                raise _damaged(file)
        finally:
            await hashed.settle()
    return path


async def fetch_file(
    channel: grpc.aio.Channel, file: registry_pb2.PackageFile, path: Path, *, timeout_s: float
) -> Path:
    """Fetch a file of a package to `path`, a large one from the registry's disk where both are on one machine.

    Raises as `write_chunks`, and what the call raises.
    """
    if source := await _open_nearby(channel, file, timeout_s):
        with source:
            async with aclosing(read_ahead(source)) as chunks:
                try:
                    return await write_chunks(path, file, chunks)
                except DataLoss:
                    _LOG.warning("%s is damaged on the registry's disk", file.sha256)
    # Also of a damaged one: the registry reads it itself then, notes it, and may have got it back.
    return await write_chunks(path, file, download_file(channel, file, timeout_s=timeout_s))


async def _open_nearby(channel: grpc.aio.Channel, file: registry_pb2.PackageFile, timeout_s: float) -> IO[bytes] | None:
    if file.size_bytes < LEAST_BYTES or not machine_name():
        return None
    request = registry_pb2.LocateFileRequest(sha256=file.sha256, machine=machine_name())
    place = await registry_pb2_grpc.RegistryServiceStub(channel).LocateFile(request, timeout=timeout_s)
    return await asyncio.to_thread(open_place, place) if place.path else None


async def download_to(registry: RegistryPool, file: registry_pb2.PackageFile, path: Path, *, timeout_s: float) -> None:
    """Fetch a file of a package from the registry to `path`. Raises as `write_chunks`, and what the call raises."""

    async def save(channel: grpc.aio.Channel, timeout_s: float) -> None:
        await fetch_file(channel, file, path, timeout_s=timeout_s)

    await registry.call(save, timeout_s=timeout_s)


async def download(registry: RegistryPool, file: registry_pb2.PackageFile, *, timeout_s: float) -> bytes:
    """The content of a small file of a package. Raises DataLoss for another content, and what the call raises."""

    async def read(channel: grpc.aio.Channel, timeout_s: float) -> bytes:
        content = bytearray()
        async for data in download_file(channel, file, timeout_s=timeout_s):
            if len(content) + len(data) > file.size_bytes:
                raise _damaged(file)
            content += data
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise _damaged(file)
        return bytes(content)

    return await registry.call(read, timeout_s=timeout_s)


async def fetch_manifest(
    registry: RegistryPool, deployed: registry_pb2.DeployedVersion, *, timeout_s: float
) -> registry_pb2.Manifest:
    """The files of a version, or of a variant of it, that was published without them.

    Raises DataLoss when they are not those that its digest names, and what the call raises.
    """
    ref = common_pb2.ModelRef(name=deployed.manifest.model, version=deployed.version)

    async def ask(channel: grpc.aio.Channel, timeout_s: float) -> registry_pb2.ModelVersion:
        stub = registry_pb2_grpc.RegistryServiceStub(channel)
        return await stub.GetVersion(registry_pb2.GetVersionRequest(model=ref), timeout=timeout_s)

    found = await registry.call(ask, timeout_s=timeout_s)
    listed = (found.manifest, *(variant.manifest for variant in found.variants))
    manifest = next((each for each in listed if manifest_digest(each) == deployed.digest), None)
    if manifest is None:
        raise DataLoss(
            f"The registry's version {ref.version} of {ref.name} is not the one that is deployed.",
            reason="DIGEST_MISMATCH",
            fix="Look whether this registry is the one that published the deployment.",
        )
    return manifest


def download_file(
    channel: grpc.aio.Channel, file: registry_pb2.PackageFile, *, timeout_s: float
) -> AsyncIterable[Content]:
    """DownloadFile: the content in chunks, without the copies that messages make of them."""
    call = channel.unary_stream(
        f"/{_SERVICE}/DownloadFile",
        request_serializer=registry_pb2.DownloadFileRequest.SerializeToString,
        response_deserializer=_data_of,
    )
    chunks: AsyncIterable[Content] = call(registry_pb2.DownloadFileRequest(sha256=file.sha256), timeout=timeout_s)
    return chunks


def _data_of(response: bytes) -> Content:
    """The content in an encoded DownloadFileResponse."""
    content = memoryview(response)
    found = [content[begin:end] for field, _, begin, end in fields(content) if field == _DATA]
    return found[-1] if found else b""


def _damaged(file: registry_pb2.PackageFile) -> DataLoss:
    return DataLoss(
        f"What the registry sent as {file.path[:255]!r} is not what was pushed.",
        reason="FILE_DAMAGED",
        fix="Push the package again.",
    )
