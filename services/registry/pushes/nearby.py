"""Takes large files from where they lie on this machine, hashed while they are copied, for a push that follows."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.hashed_file import HashedFile, read_ahead
from lepton_ai.mesh.machine import LEAST_BYTES, is_this_machine, open_place
from lepton_ai.package import PackageLimits
from lepton_ai.v1 import registry_pb2
from services.registry.completion import Completion
from services.registry.storage.data_directory import DataDirectory
from services.registry.storage.room import disk_errors

_PROGRESS_BYTES = 32 << 20
_MOST_PLACES = 64

Requests = AsyncIterator[registry_pb2.TakeFilesRequest]
Answer = Callable[[registry_pb2.TakeFilesResponse], Awaitable[None]]


class NearbyFiles:
    """Files of callers on this machine.

    Anybody who may push may name any file that this process can read. That tells them nothing: a file is kept only for
    who can say its hash, and nothing else is said of what is in it.
    """

    def __init__(
        self, directory: DataDirectory, completion: Completion, *, limits: PackageLimits, concurrent: int
    ) -> None:
        """`concurrent`: how many callers at once; others upload, and so does who has more than a package may have."""
        self._directory = directory
        self._completion = completion
        self._max_file_bytes = limits.max_file_bytes
        self._max_bytes = min(limits.max_package_bytes, directory.kept.limits.total_bytes)
        self._turns = asyncio.Semaphore(concurrent)

    async def take(self, requests: Requests, answer: Answer) -> None:
        """See TakeFiles in the contract. Raises InvalidInput for places without their hashes, ResourceExhausted when
        the disk is full."""
        first = await anext(requests, None)
        if first is None or not is_this_machine(first.machine) or self._turns.locked():
            await answer(registry_pb2.TakeFilesResponse())
            return
        async with self._turns:
            await answer(registry_pb2.TakeFilesResponse(accepted=True))
            second = await anext(requests, None)
            staging = self._directory.new_staging()
            try:
                async with disk_errors():
                    await self._take([] if second is None else second.places, requests, staging, answer)
            finally:
                # In a task of its own: a caller that goes away cancels this one, more than once.
                await self._completion.finish(asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True))

    async def _take(
        self, places: Sequence[registry_pb2.FilePlace], requests: Requests, staging: Path, answer: Answer
    ) -> None:
        if len(places) > _MOST_PLACES:
            raise InvalidInput.of_field("places", f"{len(places)} files; at most {_MOST_PLACES}")
        hashes: list[str] = []
        progress, left_bytes = _Progress(answer), self._max_bytes
        for number, place in enumerate(places):
            is_wanted = LEAST_BYTES <= place.size_bytes <= min(self._max_file_bytes, left_bytes)
            left_bytes -= place.size_bytes if is_wanted else 0
            hashes.append(await _copy(place, staging / str(number), progress) if is_wanted else "")
        third = await anext(requests, None)
        said: Sequence[str] = [] if third is None else third.sha256
        if len(said) != len(places):
            raise InvalidInput.of_field("sha256", f"names {len(said)} hashes for {len(places)} places")
        kept = {sha256: staging / str(number) for number, sha256 in enumerate(hashes) if sha256 == said[number] != ""}
        for sha256, path in kept.items():
            await asyncio.to_thread(self._directory.kept.keep_whole, sha256, path)
        await answer(registry_pb2.TakeFilesResponse(kept=list(kept)))


class _Progress:
    """Tells now and then how much has been copied."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._bytes = self._told_bytes = 0

    async def add(self, size_bytes: int) -> None:
        """So much more."""
        self._bytes += size_bytes
        if self._bytes - self._told_bytes >= _PROGRESS_BYTES:
            self._told_bytes = self._bytes
            await self._answer(registry_pb2.TakeFilesResponse(copied_bytes=self._bytes))


async def _copy(place: registry_pb2.FilePlace, target: Path, progress: _Progress) -> str:
    """Copy one file; returns its hash, or nothing when it cannot be read or has another size by now."""
    source = await asyncio.to_thread(open_place, place)
    if source is None:
        return ""
    with source, target.open("xb") as file:
        hashed = HashedFile(file)
        try:
            async with aclosing(read_ahead(source)) as chunks:
                async for data in chunks:
                    if hashed.size_bytes + len(data) > place.size_bytes:
                        return ""
                    await hashed.write(data)
                    await progress.add(len(data))
            return await hashed.finish() if hashed.size_bytes == place.size_bytes else ""
        finally:
            await hashed.settle()
