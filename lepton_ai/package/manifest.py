"""Rules for package manifests: paths that are safe on every machine, bounds on counts and sizes, and the digest."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from itertools import accumulate

from lepton_ai.errors import InvalidInput, ResourceExhausted
from lepton_ai.package.description import DESCRIPTION_FILE
from lepton_ai.references import check_name
from lepton_ai.v1 import registry_pb2

_MAX_PART_BYTES = 255
_MAX_PATH_BYTES = 1024
_MAX_PARTS = 16
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DRIVE = re.compile(r"[A-Za-z]:")
"""With which a path leads elsewhere on Windows."""


@dataclass(frozen=True)
class PackageLimits:
    """The largest package that is read or accepted."""

    max_files: int = 1000
    max_file_bytes: int = 16 << 30
    max_package_bytes: int = 32 << 30


def check_path(path: str, *, field: str = "path") -> str:
    """Returns a relative, '/'-separated path if it can name a package file. Raises InvalidInput.

    Refused are absolute paths and drives, '.' and '..' (also as look-alikes that Unicode normalises to them), hidden
    files, backslashes, control characters, and what a file system could not hold.
    """
    problem = _path_problem(path)
    if problem:
        raise InvalidInput.of_field(field, problem, reason="INVALID_PATH")
    return path


def _path_problem(path: str) -> str:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    parts = path.split("/")
    if not path or size > _MAX_PATH_BYTES or len(parts) > _MAX_PARTS:
        return f"must have 1 to {_MAX_PATH_BYTES} bytes and at most {_MAX_PARTS} parts"
    if _DRIVE.match(path):
        return "begins with a drive"
    return next(filter(None, map(_part_problem, parts)), "")


def _part_problem(part: str) -> str:
    if not part:
        return "must be relative, without empty parts"
    if len(part.encode()) > _MAX_PART_BYTES:
        return f"has a part of more than {_MAX_PART_BYTES} bytes"
    normal = part if part.isascii() else unicodedata.normalize("NFKC", part)
    if part.startswith(".") or normal.startswith("..") or normal == ".":
        return "has a part that begins with a dot"
    if "/" in normal or "\\" in normal or (not part.isprintable() and any(map(_is_control, part))):
        return "has a control character or a backslash"
    return ""


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs"}


def check_manifest(manifest: registry_pb2.Manifest, *, limits: PackageLimits) -> None:
    """Check a manifest without seeing the files. Raises InvalidInput with the field, ResourceExhausted over a limit."""
    check_name(manifest.model, field="manifest.model")
    if len(manifest.files) > limits.max_files:
        raise ResourceExhausted(
            f"The package has {len(manifest.files)} files; at most {limits.max_files} are allowed.",
            reason="TOO_MANY_FILES",
            fix="Pack small files into one, or leave out what the model does not need.",
        )
    for index, file in enumerate(manifest.files):
        _check_file(file, field=f"manifest.files[{index}]", limits=limits)
    _check_together(manifest, limits)


def _check_file(file: registry_pb2.PackageFile, *, field: str, limits: PackageLimits) -> None:
    check_path(file.path, field=f"{field}.path")
    if not _SHA256.fullmatch(file.sha256):
        raise InvalidInput.of_field(f"{field}.sha256", "must be 64 lower-case hex digits")
    if file.size_bytes > limits.max_file_bytes:
        raise ResourceExhausted(
            f"{field}.size_bytes: {file.size_bytes} bytes; at most {limits.max_file_bytes} are allowed.",
            reason="FILE_TOO_LARGE",
        )


def _check_together(manifest: registry_pb2.Manifest, limits: PackageLimits) -> None:
    paths = [file.path for file in manifest.files]
    check_distinct(paths, field="manifest.files[{}].path")
    if DESCRIPTION_FILE not in paths:
        raise InvalidInput.of_field("manifest.files", f"holds no {DESCRIPTION_FILE}")
    sizes: dict[str, int] = {}
    for index, file in enumerate(manifest.files):
        if sizes.setdefault(file.sha256, file.size_bytes) != file.size_bytes:
            raise InvalidInput.of_field(f"manifest.files[{index}].size_bytes", "differs for the same sha256")
    total = sum(file.size_bytes for file in manifest.files)
    if total > limits.max_package_bytes:
        raise ResourceExhausted(
            f"The package has {total} bytes; at most {limits.max_package_bytes} are allowed.",
            reason="PACKAGE_TOO_LARGE",
        )


def check_distinct(paths: Collection[str], *, field: str) -> None:
    """Check that no path is there twice or lies below another one. `field` is filled with the index of a wrong one.

    Raises InvalidInput.
    """
    seen: set[str] = set()
    for index, path in enumerate(paths):
        if path in seen:
            raise InvalidInput.of_field(field.format(index), "is listed twice")
        seen.add(path)
    for index, path in enumerate(paths):
        if any(folder in seen for folder in accumulate(path.split("/")[:-1], "{}/{}".format)):
            raise InvalidInput.of_field(field.format(index), "lies below another file")


def manifest_digest(manifest: registry_pb2.Manifest) -> str:
    """SHA-256 (hex) over the model's name and every file's path, size and hash, whatever their order."""
    files = sorted((file.path, file.size_bytes, file.sha256) for file in manifest.files)
    canonical = json.dumps([manifest.model, files], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
