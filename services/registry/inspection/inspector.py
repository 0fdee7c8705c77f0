"""The process that looks into one uploaded package: `python -m services.registry.inspection.inspector DIR LIMITS`.

Models come from strangers and their parsers are written in C++, so they are read in a process of their own: it may use
little, changes nothing, and a bad file crashes it alone. It answers with one JSON document on stdout.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lepton_ai.errors import FailedPrecondition, LeptonError
from lepton_ai.inspection.dry_run import check_answers
from lepton_ai.inspection.signature import TritonBackend
from lepton_ai.inspection.structure import inspect_package
from lepton_ai.package import Description, Package, PackageLimits
from lepton_ai.v1 import registry_pb2
from services.registry.inspection.confinement import OUT_OF_MEMORY, isolate, limit

_SPACE = 3
"""How many times its size a model needs to be opened."""


@dataclass(frozen=True)
class Inspected:
    """What was found in a good package; see `inspection.Verdict`."""

    digest: str
    description: str
    dry_run: str
    is_isolated: bool
    lineage: dict[str, Any]
    optimised: dict[str, Any] | None


def inspect(directory: Path, hashed: registry_pb2.Manifest, limits: dict[str, Any], *, not_isolated: str) -> Inspected:
    """Check a package and try it. Raises LeptonError."""
    package = inspect_package(
        directory, PackageLimits(**limits["package"]), triton_backend=limits["triton_backend"], hashed=hashed
    )
    tried = try_out(package, limits["dry_run"], triton_backend=limits["triton_backend"])
    if not_isolated:
        tried = f"{tried}; not isolated: {not_isolated}"
    described = package.description
    optimised = None if described.optimised is None else described.optimised.model_dump(mode="json")
    return Inspected(package.digest, described.description, tried, not not_isolated, _lineage(described), optimised)


def _lineage(description: Description) -> dict[str, Any]:
    """What is kept beside the version, to be searched."""
    origin = description.lineage.model_dump(mode="json", exclude_defaults=True)
    return {**origin, "metrics": dict(description.metrics)} if origin or description.metrics else {}


def try_out(package: Package, policy: str, *, triton_backend: TritonBackend) -> str:
    """Run the model with its golden samples, as far as the policy wants it; returns what became of it.

    Raises InvalidInput for a wrong answer, FailedPrecondition where a dry run is required and cannot be made.
    """
    if policy == "off":
        return "skipped (LEPTON_DRY_RUN is off)"
    try:
        _check_possible(package, triton_backend)
        with package.positions.told():
            tried = check_answers(package)
    except FailedPrecondition as error:
        if policy == "required":
            raise
        return f"skipped ({error.message})"
    samples = len(package.description.golden)
    what = f"{samples} golden sample{'s' if samples > 1 else ''}" if samples else "zeros, as there is no golden sample"
    return f"passed: {what} in {sum(each.duration_s for each in tried) * 1000:.0f} ms"


def _check_possible(package: Package, triton_backend: TritonBackend) -> None:
    model, (memory_bytes, _) = package.description.model, resource.getrlimit(resource.RLIMIT_AS)
    size_bytes = sum(package.files[name].size_bytes for name in (model.file, *model.weights))
    if memory_bytes != resource.RLIM_INFINITY and _SPACE * size_bytes > memory_bytes:
        raise FailedPrecondition(
            f"a model of {size_bytes >> 20} MiB needs more memory than the check may use",
            reason="DRY_RUN_IMPOSSIBLE",
            fix="Raise LEPTON_INSPECTION_MEMORY_BYTES of the registry.",
        )
    if triton_backend == "native" and model.format == "onnx":
        raise FailedPrecondition(
            "the replicas run ONNX in Triton's own back end, which is not here",
            reason="DRY_RUN_IMPOSSIBLE",
            fix="Set LEPTON_DRY_RUN=when_possible for the registry.",
        )


def main(arguments: list[str]) -> None:
    """Inspect the package that the arguments name, its manifest on stdin, and write down the verdict."""
    directory, limits = Path(arguments[0]), json.loads(arguments[1])
    hashed = registry_pb2.Manifest.FromString(sys.stdin.buffer.read())
    limit(timeout_s=limits["timeout_s"], memory_bytes=limits["memory_bytes"])
    # Libraries want to know such places, and would try whether they may write there; they put nothing into them.
    tempfile.tempdir = os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(directory)
    not_isolated = isolate()
    try:
        verdict: dict[str, Any] = asdict(inspect(directory, hashed, limits, not_isolated=not_isolated))
    except LeptonError as error:
        verdict = {"error": _document(error)}
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        sys.exit(OUT_OF_MEMORY)
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as out:
        json.dump(verdict, out)


def _document(error: LeptonError) -> dict[str, Any]:
    return {
        "code": error.code.name,
        "message": error.message,
        "reason": error.reason,
        "fix": error.fix,
        "fields": [asdict(field) for field in error.fields],
    }


if __name__ == "__main__":
    main(sys.argv[1:])
