"""The model package: a directory with `lepton.yaml`, a model file and whatever its pipeline and golden samples need."""

from lepton_ai.package.description import (
    DESCRIPTION_FILE,
    Caching,
    Description,
    Golden,
    ModelFile,
    TensorSpec,
)
from lepton_ai.package.directory import Package, served_files, write_package
from lepton_ai.package.manifest import PackageLimits, check_manifest, check_path, manifest_digest

__all__ = [
    "DESCRIPTION_FILE",
    "Caching",
    "Description",
    "Golden",
    "ModelFile",
    "Package",
    "PackageLimits",
    "TensorSpec",
    "check_manifest",
    "check_path",
    "manifest_digest",
    "served_files",
    "write_package",
]
