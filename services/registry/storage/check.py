"""Reads all that is stored and reports what is missing, damaged or unused."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

from lepton_ai.v1 import registry_pb2 as pb
from services.registry.database.store import Reading, Store
from services.registry.storage.blobs import Blobs

_REPORT_INTERVAL_S = 1.0

Uses = Mapping[str, Sequence[pb.FileUse]]


class StorageCheck:
    """Compares the database with what really lies in storage."""

    def __init__(self, store: Store, blobs: Blobs, pinned: Callable[[], Collection[str]]) -> None:
        """`pinned`: the files that pushes hold for versions which are not recorded yet."""
        self._store = store
        self._blobs = blobs
        self._pinned = pinned

    async def run(self) -> AsyncIterator[pb.CheckStorageResponse]:
        """The faults as they are found, with the progress so far."""
        # In this order: what is stored by now is pinned by now or recorded when the database is read.
        stored = await self._blobs.sizes()
        pinned = frozenset(self._pinned())
        async with self._store.reading() as reading:
            sizes, uses = await _read_uses(reading)
        report = pb.CheckStorageResponse(total_files=len(sizes), total_bytes=sum(sizes.values()))
        reported_s = time.monotonic()
        for sha256, size_bytes in sizes.items():
            if await self._blobs.find_unsound([sha256], afresh=True):
                kind = pb.STORAGE_FAULT_KIND_DAMAGED if sha256 in stored else pb.STORAGE_FAULT_KIND_MISSING
                report.faults.add(kind=kind, sha256=sha256, size_bytes=size_bytes, uses=uses[sha256])
            report.checked_files += 1
            report.checked_bytes += size_bytes
            if time.monotonic() - reported_s >= _REPORT_INTERVAL_S:
                yield report
                del report.faults[:]
                reported_s = time.monotonic()
        for sha256 in sorted(stored.keys() - sizes.keys() - pinned):
            report.faults.add(kind=pb.STORAGE_FAULT_KIND_ORPHAN, sha256=sha256, size_bytes=stored[sha256])
        yield report


async def _read_uses(reading: Reading) -> tuple[Mapping[str, int], Uses]:
    sizes: dict[str, int] = {}
    uses: dict[str, list[pb.FileUse]] = defaultdict(list)
    for model in await reading.models():
        for version in await reading.versions(model):
            held = [("", version.files), *((variant.name, variant.files) for variant in version.variants)]
            for variant, files in held:
                for file in files:
                    sizes[file.sha256] = file.size_bytes
                    use = pb.FileUse(model=model, version=version.version, path=file.path, variant=variant)
                    uses[file.sha256].append(use)
    return sizes, uses
