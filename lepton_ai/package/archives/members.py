"""Reads zips from strangers: every member is checked before any is read, and none costs more than it says.

Refused are names that lead out of the target, links and devices, encrypted, duplicate and overlapping members, and
members that unpack to far more than they are (David Fifield, "A better zip bomb", WOOT 2019).
"""

from __future__ import annotations

import io
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lepton_ai.errors import DataLoss, InvalidInput, NotFound, ResourceExhausted
from lepton_ai.package.manifest import PackageLimits, check_distinct, check_path

_COPY_BYTES = 1 << 20
_MAX_RATIO = 200
_FREE_BYTES = 1 << 20
"""What a member may unpack to whatever its ratio: small texts of one character are no bombs."""
_MAX_DIRECTORY_BYTES = 4 << 20
_END, _END_BYTES, _MAX_COMMENT = b"PK\x05\x06", 22, 65535
_LOCATOR, _LOCATOR_BYTES = b"PK\x06\x07", 20
_END64, _END64_BYTES = b"PK\x06\x06", 56
_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


@dataclass(frozen=True)
class ZipMembers:
    """The files in a zip, by their path."""

    _archive: zipfile.ZipFile
    infos: Mapping[str, zipfile.ZipInfo]

    def size_bytes(self, path: str) -> int:
        """What a member unpacks to."""
        return self._info(path).file_size

    def read(self, path: str, *, max_bytes: int) -> bytes:
        """The content of a small member. Raises NotFound, ResourceExhausted for a large one, DataLoss."""
        info = self._info(path)
        if info.file_size > max_bytes:
            raise ResourceExhausted(f"{path}: {info.file_size} bytes; at most {max_bytes}.", reason="FILE_TOO_LARGE")
        with _undamaged():
            return self._archive.read(info)

    def extract(self, path: str, target: Path) -> Path:
        """Write a member to a file that is not there yet, with the permissions that new files get. Raises DataLoss."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with _undamaged(), self._archive.open(self._info(path)) as source, target.open("xb") as copy:
            while chunk := source.read(_COPY_BYTES):
                copy.write(chunk)
        return target

    def _info(self, path: str) -> zipfile.ZipInfo:
        if path not in self.infos:
            raise NotFound(f"The file holds no {path[:255]!r}.", reason="NO_SUCH_FILE")
        return self.infos[path]


@contextmanager
def opened_zip(path: Path, *, limits: PackageLimits | None = None, compressed: bool = False) -> Iterator[ZipMembers]:
    """The members of a zip. `compressed`: whether members may be.

    Raises NotFound, InvalidInput for what is no zip or must not be unpacked, ResourceExhausted over a limit.
    """
    with _opened(path) as archive:
        yield ZipMembers(archive, _checked(archive, limits or PackageLimits(), compressed=compressed))


def names_in_zip(path: Path) -> frozenset[str]:
    """The names of everything in a zip, unchecked, to tell what it is; none of what is no zip."""
    if not path.is_file():
        return frozenset()
    try:
        with _opened(path) as archive:
            return frozenset(archive.NameToInfo)
    except (InvalidInput, ResourceExhausted):
        return frozenset()


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    if not path.is_file():
        raise NotFound(f"There is no file {path.name}.", fix="Name a file.")
    with path.open("rb") as file:
        _check_directory(file, path)
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError, struct.error) as error:
            raise _no_zip(path) from error
        with archive:
            yield archive


def _check_directory(file: IO[bytes], path: Path) -> None:
    """Look at the size of the list of members before it is read into memory."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _END_BYTES - _MAX_COMMENT - _LOCATOR_BYTES - _END64_BYTES))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise _no_zip(path)
    directory_bytes = struct.unpack_from("<L", tail, at + 12)[0]
    # Of larger archives a second record says it, right before the first one, where zipfile looks for it, too.
    before = tail[max(0, at - _LOCATOR_BYTES - _END64_BYTES) : at]
    if before.startswith(_END64) and before[_END64_BYTES:].startswith(_LOCATOR):
        directory_bytes = struct.unpack_from("<Q", before, 40)[0]
    if directory_bytes > _MAX_DIRECTORY_BYTES:
        raise ResourceExhausted("The zip lists too many members.", reason="TOO_MANY_FILES")
    file.seek(0)


def _checked(archive: zipfile.ZipFile, limits: PackageLimits, *, compressed: bool) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    _check_apart(infos, archive.start_dir)
    members: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    for info in infos:
        path = _check_member(info, compressed=compressed)
        folded = unicodedata.normalize("NFC", path).casefold()  # some file systems take such names for one
        if folded in seen:
            raise _forbidden(path, "is there twice")
        seen.add(folded)
        if not info.is_dir():
            members[path] = info
    check_distinct(members, field="zip member {}")
    _check_limits(members, limits)
    return members


def _check_member(info: zipfile.ZipInfo, *, compressed: bool) -> str:
    path = info.filename.removesuffix("/")  # of a folder; a name that begins with a zero byte is none at all
    check_path(path, field="zip member")
    if info.orig_filename != info.filename:
        raise _forbidden(path, "has a name that is not what it seems")
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG):
        raise _forbidden(path, "is a link or a device")
    if info.flag_bits & 0x41:
        raise _forbidden(path, "is encrypted")
    if info.compress_type not in ((_STORED, _DEFLATED) if compressed else (_STORED,)):
        raise _forbidden(path, "is compressed" + (" in an unusual way" if compressed else ""))
    if info.compress_type == _STORED and info.compress_size != info.file_size:
        raise _forbidden(path, "has two sizes")
    if info.file_size > max(_FREE_BYTES, _MAX_RATIO * info.compress_size):
        raise _forbidden(path, f"unpacks to more than {_MAX_RATIO} times its size")
    return path


def _check_apart(infos: list[zipfile.ZipInfo], end: int) -> None:
    """Members whose bytes overlap are how small zips unpack to very much."""
    ordered = sorted(infos, key=lambda info: info.header_offset)
    ends = [*(info.header_offset for info in ordered), end][1:]
    for info, after in zip(ordered, ends, strict=True):
        if info.header_offset < 0 or info.header_offset + 30 + info.compress_size > after:
            raise _forbidden(info.filename, "overlaps what comes after it")


def _check_limits(members: Mapping[str, zipfile.ZipInfo], limits: PackageLimits) -> None:
    if len(members) > limits.max_files:
        raise ResourceExhausted(f"The zip has more than {limits.max_files} files.", reason="TOO_MANY_FILES")
    for path, info in members.items():
        if info.file_size > limits.max_file_bytes:
            raise ResourceExhausted(
                f"{path}: {info.file_size} bytes; at most {limits.max_file_bytes}.", reason="FILE_TOO_LARGE"
            )
    if sum(info.file_size for info in members.values()) > limits.max_package_bytes:
        raise ResourceExhausted(
            f"The zip unpacks to more than {limits.max_package_bytes} bytes.", reason="PACKAGE_TOO_LARGE"
        )


@contextmanager
def _undamaged() -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, struct.error, zlib.error) as error:
        raise DataLoss("The zip is damaged.", reason="FILE_DAMAGED", fix="Take a copy that is whole.") from error


def _forbidden(path: str, problem: str) -> InvalidInput:
    return InvalidInput.of_field(path[:255], problem, reason="FORBIDDEN_MEMBER")


def _no_zip(path: Path) -> InvalidInput:
    return InvalidInput(
        f"{path.name[:255]} is no zip.",
        reason="NOT_AN_ARCHIVE",
        fix="`lepton pack FOLDER` makes one of a package; `lepton init MODEL_FILE` makes a package of a model.",
    )
