"""Packages as single files: a zip of the folder, the same to the byte for the same content.

Members are stored uncompressed, in the order of their paths, without times, owners and permissions. So each can be read
where it lies, and no packed file unpacks to more than its own size.
"""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lepton_ai.archive import replacing, writing
from lepton_ai.errors import DataLoss, InvalidInput, NotFound
from lepton_ai.package.archives.members import names_in_zip, opened_zip
from lepton_ai.package.description import DESCRIPTION_FILE
from lepton_ai.package.directory import Package, new_directory
from lepton_ai.package.manifest import PackageLimits

PACKED_SUFFIX = ".lepton"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip's least time
_UNIX = 3
_REGULAR_FILE = 0o100644 << 16
_COPY_BYTES = 1 << 20


def pack(package: Package, path: Path | str, *, on_progress: Callable[[int, int], None] | None = None) -> str:
    """Write a package as one file, whole or not at all, and return the file's SHA-256 (hex).

    `on_progress` is called with (bytes packed, bytes in all). Raises DataLoss when a file has changed since the package
    was read, ResourceExhausted for a full disk, FailedPrecondition for a place that cannot be written.
    """
    total = sum(file.size_bytes for file in package.files.values())
    done = 0
    with replacing(Path(path)) as output, zipfile.ZipFile(output, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(package.files):
            _add(archive, package, name)
            done += package.files[name].size_bytes
            if on_progress is not None:
                on_progress(done, total)
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_packed(path: Path | str) -> bool:
    """Whether this is a file that holds a package, rather than a folder or some other file."""
    return DESCRIPTION_FILE in names_in_zip(Path(path))


def unpack(path: Path | str, directory: Path | str, *, limits: PackageLimits | None = None) -> Package:
    """Write a packed package to a folder that does not exist yet or is empty, and read it.

    Raises InvalidInput for a file that is no packed package, ResourceExhausted over a limit, DataLoss for a damaged
    one, FailedPrecondition for a folder with something in it.
    """
    root = new_directory(directory)
    with opened_zip(Path(path), limits=limits) as members:
        if DESCRIPTION_FILE not in members.infos:
            raise InvalidInput(
                f"{Path(path).name} holds no {DESCRIPTION_FILE}.",
                reason="NOT_A_PACKAGE",
                fix="`lepton pack FOLDER` makes a packed file of a package.",
            )
        with writing(root):
            for name in members.infos:
                members.extract(name, root / name)
    return Package.read(root, limits=limits)


@contextmanager
def opened_package(path: Path | str, *, limits: PackageLimits | None = None) -> Iterator[Package]:
    """The package in a folder or in a packed file, which is unpacked for as long as the block lasts."""
    if Path(path).is_dir():
        yield Package.read(path, limits=limits)
        return
    if not Path(path).exists():
        raise NotFound(f"There is no {Path(path).name}.", fix="Name a package's folder, or the file of a packed one.")
    with tempfile.TemporaryDirectory(prefix="lepton-") as place:
        yield unpack(path, Path(place) / "package", limits=limits)


def _add(archive: zipfile.ZipFile, package: Package, name: str) -> None:
    wanted = package.files[name]
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system, info.external_attr, info.file_size = _UNIX, _REGULAR_FILE, wanted.size_bytes
    digest = hashlib.sha256()
    with package.path(name).open("rb") as source, archive.open(info, "w") as target:
        while chunk := source.read(_COPY_BYTES):
            digest.update(chunk)
            target.write(chunk)
    if digest.hexdigest() != wanted.sha256:
        raise DataLoss(f"{name[:255]!r} has changed while it was packed.", reason="FILE_CHANGED", fix="Pack it again.")
