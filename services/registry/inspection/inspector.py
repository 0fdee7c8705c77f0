"""The process that looks into one uploaded package: `python -m services.registry.inspection.inspector DIR LIMITS`.

Models come from strangers and their parsers are written in C++, so they are read in a process of their own: it may use
little, writes nothing, and a bad file crashes it alone. It answers with one JSON document on stdout.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lepton_ai.errors import LeptonError
from lepton_ai.package import Package, PackageLimits
from services.registry.inspection.signature import TritonBackend, check_dtypes

OUT_OF_MEMORY = 3
"""Exit status when the package needs more memory than there is to check it."""


def inspect_package(directory: Path, limits: PackageLimits, *, triton_backend: TritonBackend) -> Package:
    """Check everything about a package that can be checked without running it. Raises InvalidInput."""
    # Only one of the two is needed, and each pulls libraries of its own.
    package = Package.read(directory, limits=limits)
    package.check()
    check_dtypes(package.description, triton_backend=triton_backend)
    if package.description.model.format == "onnx":
        from services.registry.inspection.onnx_model import check_onnx

        check_onnx(package)
        if (
            triton_backend == "python"
        ):  # the runner has the ONNX Runtime that is installed here, "native" one of its own
            from services.registry.inspection.onnx_trial import check_opens

            check_opens(package)
    else:
        from services.registry.inspection.torch_archive import check_torch_export

        check_torch_export(package)
    return package


def confine(*, timeout_s: int, memory_bytes: int) -> None:
    """Limit what this process may use from now on. Going over a limit ends it."""
    for limit, value in (
        (resource.RLIMIT_CPU, timeout_s),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(limit, (value, value))
    signal.alarm(timeout_s)  # also when whoever started us is gone


def main(arguments: list[str]) -> None:
    """Inspect the package that the arguments name and write down the verdict."""
    directory, limits = Path(arguments[0]), json.loads(arguments[1])
    confine(timeout_s=limits["timeout_s"], memory_bytes=limits["memory_bytes"])
    try:
        package = inspect_package(
            directory, PackageLimits(**limits["package"]), triton_backend=limits["triton_backend"]
        )
    except LeptonError as error:
        verdict: dict[str, Any] = {"error": _document(error)}
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        sys.exit(OUT_OF_MEMORY)
    else:
        verdict = {"digest": package.digest, "description": package.description.description}
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
