"""Shared memory of the fake Triton: mapped as the real one does, and read as late as it may be."""

from __future__ import annotations

import mmap
from collections import Counter
from pathlib import Path
from typing import Any

from lepton_ai.errors import InternalError, Unavailable

Request = Any
"""service_pb2.ModelInferRequest, for which there are no types."""


class FakeRegions:
    """The regions that a FakeTriton knows, which are files in `directory`; without one there is no shared memory."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._regions: dict[str, mmap.mmap] = {}
        self._readers: Counter[str] = Counter()
        self._changed_reads = 0

    @property
    def names(self) -> list[str]:
        """Registered regions, oldest first."""
        return list(self._regions)

    @property
    def changed_reads(self) -> int:
        """Requests whose input changed while they were worked on: rows of others would have been computed."""
        return self._changed_reads

    def register(self, name: str, size_bytes: int) -> None:
        """Map a file. Raises InternalError when it is not there or too short."""
        path = (self._directory or Path("/nonexistent")) / name
        try:
            with path.open("rb") as file:
                self._regions[name] = mmap.mmap(file.fileno(), size_bytes, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise InternalError("Unable to open shared memory region.", reason="MODEL_FAILED") from error

    def unregister(self, name: str) -> None:
        """Forget a region. Raises InternalError while a request reads it."""
        if self._readers[name]:
            raise InternalError("Cannot unregister shared memory region, it is in use.", reason="MODEL_FAILED")
        self._regions.pop(name, None)

    def clear(self) -> None:
        """As when the process dies."""
        self._regions.clear()

    def begin(self, request: Request) -> list[bytes]:
        """Inputs as they are now; the regions are in use until `end`. Raises Unavailable for an unknown region."""
        if not is_shared(request):
            return list(request.raw_input_contents)
        names = {each.parameters["shared_memory_region"].string_param for each in request.inputs}
        if not names <= self._regions.keys():
            raise Unavailable("Unable to find shared memory region.", reason="REGION_LOST", retry_after_s=1.0)
        self._readers.update(names)
        return self._read(request)

    def end(self, request: Request, contents: list[bytes]) -> list[bytes]:
        """Inputs as they are when the model gets them."""
        if not is_shared(request):
            return contents
        self._readers.subtract({each.parameters["shared_memory_region"].string_param for each in request.inputs})
        latest = self._read(request) if self._regions else contents
        self._changed_reads += latest != contents
        return latest

    def _read(self, request: Request) -> list[bytes]:
        contents = []
        for each in request.inputs:
            region = self._regions[each.parameters["shared_memory_region"].string_param]
            start = each.parameters["shared_memory_offset"].int64_param if len(each.parameters) == 3 else 0
            contents.append(region[start : start + each.parameters["shared_memory_byte_size"].int64_param])
        return contents


def is_shared(request: Request) -> bool:
    """Whether the content of a request lies in shared memory."""
    return bool(request.inputs) and "shared_memory_region" in request.inputs[0].parameters
