"""What the registry finds when it reads all it holds."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence

from lepton_ai.client.control.registry_calls import RegistryClient
from lepton_ai.package.transfer import OnProgress
from lepton_ai.v1 import registry_pb2

_CHECK_TIMEOUT_S = 3600.0


class Storage:
    """The part of `AsyncClient` for what the registry keeps."""

    async def check_storage(
        self: RegistryClient, *, on_progress: OnProgress | None = None
    ) -> Sequence[registry_pb2.StorageFault]:
        """Have the registry read every file it holds, which takes a while; returns what is damaged, missing or unused.

        `on_progress` is called with (bytes read, bytes in all) about every second.
        """
        request = registry_pb2.CheckStorageRequest()
        return await self._registry(
            lambda stub, left_s: gather_faults(
                stub.CheckStorage(request, timeout=left_s, metadata=self._proof), on_progress
            ),
            _CHECK_TIMEOUT_S,
            idempotent=False,
        )


async def gather_faults(
    reports: AsyncIterable[registry_pb2.CheckStorageResponse], on_progress: OnProgress | None
) -> Sequence[registry_pb2.StorageFault]:
    """All faults of a check, which is followed to its end."""
    faults: list[registry_pb2.StorageFault] = []
    async for report in reports:
        faults.extend(report.faults)
        if on_progress is not None:
            on_progress(report.checked_bytes, report.total_bytes)
    return faults
