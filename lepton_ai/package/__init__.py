"""The model package: a directory with `lepton.yaml`, a model file and whatever its pipeline and golden samples need."""

from lepton_ai.package.archives.packed import is_packed, opened_package, pack, unpack
from lepton_ai.package.description import (
    DESCRIPTION_FILE,
    Caching,
    Description,
    Golden,
    KeptInputs,
    ModelFile,
    TensorSpec,
)
from lepton_ai.package.directory import Package, copy_package, served_files, write_package
from lepton_ai.package.manifest import PackageLimits, check_manifest, check_path, manifest_digest

__all__ = [
    "DESCRIPTION_FILE",
    "Caching",
    "Description",
    "Golden",
    "KeptInputs",
    "ModelFile",
    "Package",
    "PackageLimits",
    "TensorSpec",
    "check_manifest",
    "check_path",
    "copy_package",
    "is_packed",
    "manifest_digest",
    "opened_package",
    "pack",
    "served_files",
    "unpack",
    "write_package",
]
