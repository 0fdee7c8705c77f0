"""Has a process of its own inspect each uploaded package, and brings back its verdict."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import grpc

from lepton_ai.errors import ERROR_BY_CODE, FieldViolation, InternalError, InvalidInput, LeptonError
from lepton_ai.inspection.signature import TritonBackend
from lepton_ai.package import PackageLimits
from lepton_ai.v1 import registry_pb2
from services.registry.inspection.confinement import OUT_OF_MEMORY
from services.registry.inspection.processes import InspectorProcesses

_LOG = logging.getLogger(__name__)
_MAX_LOGGED_BYTES = 4000
_SPARE_S = 2.0  # the process ends itself only when we are no longer there to do it


DryRunPolicy = Literal["required", "when_possible", "off"]
"""Whether models are run with their golden samples before they become versions."""


@dataclass(frozen=True)
class InspectionLimits:
    """What inspecting one package may use, and how many are inspected at once."""

    timeout_s: float = 60.0
    memory_bytes: int = 8 << 30
    concurrent: int = 2


@dataclass(frozen=True)
class Verdict:
    """What was found in a good package."""

    digest: str
    description: str
    dry_run: str
    """What became of the dry run, in a few words."""
    is_isolated: bool
    """Whether the process could not have changed anything."""
    lineage: dict[str, Any] | None = None
    """Where the version comes from, as the package says."""
    optimised: dict[str, Any] | None = None
    """How the variant was made that the package is, and what was measured of it, as it says."""


class Inspection:
    """Runs the inspector for packages, a few at once."""

    def __init__(
        self,
        package_limits: PackageLimits,
        limits: InspectionLimits | None = None,
        *,
        triton_backend: TritonBackend = "python",
        dry_run: DryRunPolicy = "when_possible",
    ) -> None:
        """`triton_backend`: how the replicas run models, which decides what they cannot load."""
        self._package_limits = package_limits
        self._dry_run = dry_run
        self._triton_backend = triton_backend
        self._limits = limits or InspectionLimits()
        self._processes = InspectorProcesses()
        self._turns = asyncio.Semaphore(self._limits.concurrent)

    async def inspect(self, directory: Path, manifest: registry_pb2.Manifest | None = None) -> Verdict:
        """Check a package. Raises InvalidInput, also when its model makes the inspector run out of time or memory, and
        FailedPrecondition where a dry run is required and cannot be made.

        `manifest`: the package's, if its files were hashed as they were written.
        """
        given = (manifest or registry_pb2.Manifest()).SerializeToString()
        async with self._turns:
            try:
                ended = await asyncio.wait_for(
                    self._processes.run(self._arguments(directory), given), self._limits.timeout_s
                )
            except TimeoutError as error:
                raise _not_inspected("takes too long to check") from error
        if ended.returncode != 0:
            log = ended.log[-_MAX_LOGGED_BYTES:].decode(errors="replace")
            _LOG.warning("inspector ended with %s: %s", ended.returncode, log)
            raise _explain(ended.returncode)
        return _read_verdict(ended.output)

    async def close(self) -> None:
        """End the processes."""
        await self._processes.close()

    def _arguments(self, directory: Path) -> list[str]:
        limits = {
            "timeout_s": math.ceil(self._limits.timeout_s + _SPARE_S),
            "memory_bytes": self._limits.memory_bytes,
            "package": asdict(self._package_limits),
            "triton_backend": self._triton_backend,
            "dry_run": self._dry_run,
        }
        return [str(directory), json.dumps(limits)]


def _explain(returncode: int | None) -> LeptonError:
    if returncode is not None and returncode < 0:
        return _not_inspected("crashes the checker or takes too long to check")
    if returncode == OUT_OF_MEMORY:
        return _not_inspected("needs too much memory to check")
    return _checker_failed()


def _checker_failed() -> InternalError:
    return InternalError(
        "The uploaded package could not be checked.",
        reason="INSPECTION_FAILED",
        fix="Push it again; the registry's log (`lepton logs registry`) says how the checker ended.",
    )


def _read_verdict(output: bytes) -> Verdict:
    try:
        verdict: dict[str, Any] = json.loads(output)
    except ValueError as error:
        raise _checker_failed() from error
    if "error" in verdict:
        raise _error(verdict["error"])
    return Verdict(**verdict)


def _error(document: dict[str, Any]) -> LeptonError:
    kind = ERROR_BY_CODE[grpc.StatusCode[document["code"]]]
    fields = tuple(FieldViolation(**field) for field in document["fields"])
    return kind(document["message"], reason=document["reason"], fix=document["fix"], fields=fields)


def _not_inspected(description: str) -> InvalidInput:
    return InvalidInput.of_field("model.file", description, reason="INSPECTION_FAILED")
