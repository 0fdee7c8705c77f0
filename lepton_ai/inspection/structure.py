"""Everything about a package that can be checked without running it."""

from __future__ import annotations

from pathlib import Path

from lepton_ai.inspection.signature import TritonBackend, check_dtypes
from lepton_ai.installed import need
from lepton_ai.package import Package, PackageLimits
from lepton_ai.v1 import registry_pb2


def inspect_package(
    directory: Path,
    limits: PackageLimits | None = None,
    *,
    triton_backend: TritonBackend = "python",
    hashed: registry_pb2.Manifest | None = None,
) -> Package:
    """Read a package and check its pipelines, its model file and what the two say of each other. Raises InvalidInput.

    `triton_backend`: how the replicas run models, which decides what they cannot load. `hashed`: see `Package.read`.
    """
    package = Package.read(directory, limits=limits, hashed=hashed)
    package.check()
    with package.positions.told():
        _check_model(package, triton_backend)
    return package


def _check_model(package: Package, triton_backend: TritonBackend) -> None:
    check_dtypes(package.description, triton_backend=triton_backend)
    # Only one of the formats is needed, and each pulls libraries of its own.
    if package.description.model.format == "torch_export":
        from lepton_ai.inspection.torch_archive import check_torch_export

        check_torch_export(package)
        return
    need("onnx", "A look into an ONNX model")
    from lepton_ai.inspection.onnx_model import check_onnx

    check_onnx(package)
    if triton_backend == "python":  # Lepton's runner has the ONNX Runtime that is here, "native" one of its own
        from lepton_ai.inspection.onnx_trial import check_opens

        check_opens(package)
