"""Large files of a package that is about to be pushed: a registry on this machine copies them while they are hashed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from lepton_ai.client.control.registry_calls import RegistryClient
from lepton_ai.errors import LeptonError
from lepton_ai.mesh.machine import LEAST_BYTES, machine_name, place_of
from lepton_ai.package.transfer import OnProgress
from lepton_ai.v1 import registry_pb2, registry_pb2_grpc

if TYPE_CHECKING:
    from lepton_ai.package import Package

_MOST_FILES = 64
_TIMEOUT_S = 3600.0
_LOG = logging.getLogger(__name__)

Places = dict[str, registry_pb2.FilePlace]
"""By the path in the package."""


class Offer:
    """Files that the registry may copy from where they lie. What becomes of it only saves time: what is not copied is
    uploaded."""

    def __init__(self, registry: RegistryClient, places: Places, on_progress: OnProgress | None) -> None:
        self._registry = registry
        self._places = places
        self._on_progress = on_progress
        self._total_bytes = sum(place.size_bytes for place in places.values())
        self._accepted = asyncio.Event()
        self._hashes: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._taking = asyncio.create_task(self._take()) if places else None

    async def settle(self, package: Package) -> bool:
        """Wait until all is copied; tells whether the registry kept anything. `package`: read, and so hashed."""
        if self._taking is None:
            return False
        if not self._hashes.done():
            self._hashes.set_result([package.files[path].sha256 for path in self._places])
        try:
            return await self._taking
        except LeptonError as error:  # the upload that follows tells what is wrong, if it concerns that, too
            _LOG.debug("the registry copied nothing: %s", error)
            return False

    async def close(self) -> None:
        """End it, wherever it is; the registry keeps nothing of what it has copied."""
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.gather(self._taking, return_exceptions=True)

    async def _take(self) -> bool:
        return await self._registry._connections.call("registry", self._call, _TIMEOUT_S, idempotent=False)

    async def _call(self, channel: grpc.aio.Channel, timeout_s: float) -> bool:
        stub: Any = registry_pb2_grpc.RegistryServiceStub(channel)
        kept = False
        async for response in stub.TakeFiles(self._requests(), timeout=timeout_s, metadata=self._registry._proof):
            if response.accepted:
                self._accepted.set()
            if self._on_progress is not None and response.copied_bytes:
                self._on_progress(response.copied_bytes, self._total_bytes)
            kept = kept or bool(response.kept)
        return kept

    async def _requests(self) -> AsyncIterator[registry_pb2.TakeFilesRequest]:
        yield registry_pb2.TakeFilesRequest(machine=machine_name())
        await self._accepted.wait()  # other machines are not told how folders are called here
        yield registry_pb2.TakeFilesRequest(places=self._places.values())
        yield registry_pb2.TakeFilesRequest(sha256=await self._hashes)


@asynccontextmanager
async def offered(
    registry: RegistryClient, package: Path | str, on_progress: OnProgress | None
) -> AsyncIterator[Offer]:
    """For the block, offer the large files of a package's folder to the registry; a packed file has none."""
    places = await asyncio.to_thread(_large_files, Path(package)) if machine_name() else {}
    offer = Offer(registry, places, on_progress)
    try:
        yield offer
    finally:
        await offer.close()


def _large_files(directory: Path) -> Places:
    from lepton_ai.package import PackageLimits
    from lepton_ai.package.directory import walk

    if not directory.is_dir():
        return {}
    try:
        large = [path for path, size_bytes in walk(directory, PackageLimits()) if size_bytes >= LEAST_BYTES]
        return {path: place_of(directory / path) for path in large[:_MOST_FILES]}
    except (LeptonError, OSError) as error:  # reading the package says it with all that belongs to it
        _LOG.debug("the folder is no package: %s", error)
        return {}
