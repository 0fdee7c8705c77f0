"""What the registry finds when it reads all it holds."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence

from lepton_ai.package.transfer import OnProgress
from lepton_ai.v1 import registry_pb2


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
