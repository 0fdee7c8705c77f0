"""A registry served over gRPC in this process, and the calls a client makes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from lepton_ai.credentials import Metadata
from lepton_ai.mesh.discovery.state import StateStore
from lepton_ai.mesh.errors import WRITE_TOO_LATE
from lepton_ai.package import Package
from lepton_ai.testing import running
from lepton_ai.v1 import registry_pb2 as pb
from lepton_ai.v1.registry_pb2_grpc import RegistryServiceStub
from services.registry.registry import Registry
from services.registry.servicer import SERVICE_NAME, RegistryServicer
from services.registry.settings import RegistrySettings

if TYPE_CHECKING:
    from lepton_ai.v1.registry_pb2_grpc import RegistryServiceAsyncStub

TIMEOUT_S = 30.0
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Served:
    """A running registry and where it keeps its things."""

    stub: RegistryServiceAsyncStub
    data_dir: Path
    registry: Registry
    channel: grpc.aio.Channel
    address: str = ""

    def leftovers(self) -> list[str]:
        """Everything below staging and blobs, and the hashes of the blobs."""
        return sorted(path.name for part in ("staging", "blobs") for path in files_below(self.data_dir / part))


def files_below(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


@asynccontextmanager
async def serving(data_dir: Path, state: StateStore, **changes: Any) -> AsyncIterator[Served]:
    settings = RegistrySettings.model_construct(data_dir=data_dir, **{"republish_interval_s": 60.0, **changes})
    registry = await Registry.open(settings, state)
    try:
        service = (RegistryServicer.add_to, registry.servicer, SERVICE_NAME)
        async with running(service, name="registry") as served:
            yield Served(RegistryServiceStub(served.channel), data_dir, registry, served.channel, served.address)
    finally:
        await registry.close()


def chunks(sha256: str, content: bytes) -> list[pb.PushVersionRequest]:
    starts = range(0, max(len(content), 1), CHUNK_BYTES)
    return [
        pb.PushVersionRequest(chunk=pb.FileChunk(sha256=sha256, data=content[start : start + CHUNK_BYTES]))
        for start in starts
    ]


def contents(package: Package) -> Mapping[str, bytes]:
    return {file.sha256: package.path(path).read_bytes() for path, file in package.files.items()}


def requests(manifest: pb.Manifest, uploads: Mapping[str, bytes]) -> list[pb.PushVersionRequest]:
    messages = [pb.PushVersionRequest(manifest=manifest)]
    for sha256, content in uploads.items():
        messages += chunks(sha256, content)
    return messages


async def send(
    stub: RegistryServiceAsyncStub, messages: Iterable[pb.PushVersionRequest], metadata: Metadata = ()
) -> pb.PushVersionResponse:
    sent = list(messages)
    while True:
        try:
            response: pb.PushVersionResponse = await stub.PushVersion(iter(sent), timeout=TIMEOUT_S, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            if error.details() != WRITE_TOO_LATE:  # which hides why it was refused: it is asked again
                raise
        else:
            return response


async def push(stub: RegistryServiceAsyncStub, package: Package, *, metadata: Metadata = ()) -> pb.PushVersionResponse:
    """Push as a client does: only what is missing."""
    files = contents(package)
    missing = await stub.FindMissingFiles(pb.FindMissingFilesRequest(sha256=files), timeout=TIMEOUT_S)
    return await send(
        stub, requests(package.manifest(), {sha256: files[sha256] for sha256 in missing.sha256}), metadata
    )


async def download(stub: RegistryServiceAsyncStub, sha256: str) -> bytes:
    call = stub.DownloadFile(pb.DownloadFileRequest(sha256=sha256), timeout=TIMEOUT_S)
    return b"".join([response.data async for response in call])
