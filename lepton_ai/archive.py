"""The one-file form of what was trained: a zip of JSON documents, safetensors and plain files. Nothing is unpickled.

A file is written whole or not at all: beside the old one, synced to disk, then put in its place.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lepton_ai.disk import is_full
from lepton_ai.errors import DataLoss, FailedPrecondition, InvalidInput, NotFound, ResourceExhausted

if TYPE_CHECKING:
    from torch import Tensor

DISK_FULL = "DISK_FULL"
"""The reason of errors that say that there is no room left."""
_DOCUMENT, _WEIGHTS, _FILES = "document.json", "weights.safetensors", "files/"
_MAX_DOCUMENT_BYTES = 64 << 20
_MAX_TOTAL_BYTES = 64 << 30
_READERS = {"agent": "lepton_ai.reinforcement.load", "model": "lepton_ai.load"}
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip's least time: equal content makes equal files


@dataclass(frozen=True)
class Archive:
    """What such a file holds. `kind` says what the document describes, for instance "model"."""

    kind: str
    document: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    files: Mapping[str, bytes]

    def write(self, path: Path | str) -> Path:
        """Write it, replacing what is there only when all of it is on disk.

        Raises ResourceExhausted when the disk is full, FailedPrecondition when the place cannot be written.
        """
        from safetensors.torch import save

        weights = _apart(self.weights)
        document = json.dumps({"kind": self.kind, **self.document}, ensure_ascii=False, indent=1, allow_nan=False)
        with replacing(Path(path)) as file, zipfile.ZipFile(file, "w") as archive:
            _add(archive, _DOCUMENT, document.encode(), zipfile.ZIP_DEFLATED)
            _add(archive, _WEIGHTS, save(weights), zipfile.ZIP_STORED)
            for name in sorted(self.files):
                _add(archive, _FILES + name, self.files[name], zipfile.ZIP_DEFLATED)
        return Path(path)

    @classmethod
    def read(cls, path: Path | str, *, kind: str) -> Archive:
        """Read a file of this kind. Raises NotFound, InvalidInput for another kind, DataLoss for a damaged one."""
        from safetensors.torch import load

        found = read_kind(path)
        if found != kind:
            fix = f"Read it with {_READERS[found]}." if found in _READERS else ""
            raise InvalidInput(f"{Path(path).name} holds no {kind}.", reason="OTHER_KIND", fix=fix)
        with _explained(Path(path)), zipfile.ZipFile(path) as archive:
            document = json.loads(archive.read(_DOCUMENT))
            weights = load(archive.read(_WEIGHTS))
            names = [name for name in archive.namelist() if name.startswith(_FILES)]
            files = {name.removeprefix(_FILES): archive.read(name) for name in names}
        return cls(kind, {key: value for key, value in document.items() if key != "kind"}, weights, files)


def read_kind(path: Path | str) -> str:
    """What a file holds, for instance "model" or "agent". Raises as `Archive.read` does."""
    with _explained(Path(path)), zipfile.ZipFile(path) as archive:
        _check_entries(archive)
        document = json.loads(archive.read(_DOCUMENT))
        return str(document["kind"])


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of `path` when the block ends well; until then, and when it fails, the old stays.

    Raises ResourceExhausted when the disk is full, FailedPrecondition for other trouble with the place.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:64]}.", suffix=".part", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # what mkstemp makes, only its owner may read
        Path(temporary).replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say what is wrong with a folder that cannot be written. What is in it by then stays there.

    Raises ResourceExhausted when the disk is full, FailedPrecondition for other trouble with the place.
    """
    try:
        yield
    except OSError as error:
        raise _unwritable(path, error, left="") from error


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with memory of their own, which safetensors wants: tied weights are written under each of their names."""
    taken: set[int] = set()
    weights: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        whole = tensor.detach().cpu().contiguous()
        place = whole.untyped_storage().data_ptr()
        weights[name] = whole.clone() if place in taken else whole
        taken.add(place)
    return weights


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say what is wrong with a file that cannot be read."""
    from safetensors import SafetensorError

    try:
        yield
    except FileNotFoundError:
        raise NotFound(f"There is no file {path.name}.", fix="Name a file that `save` has written.") from None
    except (IsADirectoryError, PermissionError) as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}.", fix="Name a file of yours.") from error
    except (zipfile.BadZipFile, KeyError, TypeError, UnicodeDecodeError, ValueError, SafetensorError) as error:
        raise _unreadable(path) from error


def _add(archive: zipfile.ZipFile, name: str, content: bytes, compression: int) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = compression
    with archive.open(entry, "w", force_zip64=True) as target:
        target.write(content)


def _check_entries(archive: zipfile.ZipFile) -> None:
    """A zip may unpack to far more than its own size; ours never do."""
    if archive.getinfo(_DOCUMENT).file_size > _MAX_DOCUMENT_BYTES:
        raise zipfile.BadZipFile
    if sum(entry.file_size for entry in archive.infolist()) > _MAX_TOTAL_BYTES:
        raise zipfile.BadZipFile


def _unreadable(path: Path) -> InvalidInput | DataLoss:
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
        if file.read(4) == b"PK\x03\x04" and not _is_of_torch(path):
            return DataLoss(f"{path.name} is damaged or was not written by Lepton.", fix="Take a copy that is whole.")
    return InvalidInput(
        f"{path.name} is not a saved model.",
        reason="NOT_AN_ARCHIVE",
        fix="Files of torch.save hold pickles, which Lepton does not load: read the weights and use lepton_ai.wrap.",
    )


def _is_of_torch(path: Path) -> bool:
    """Whether this is what torch.save writes: a zip as well, but around a pickle."""
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        return any(name.endswith("data.pkl") for name in archive.namelist())
    return False


def _unwritable(
    path: Path, error: OSError, *, left: str = " What was there before is untouched."
) -> FailedPrecondition | ResourceExhausted:
    if is_full(error):
        return ResourceExhausted(
            f"{path.name} was not written: the disk is full.{left}",
            reason=DISK_FULL,
            fix="Make room, or choose another place.",
        )
    return FailedPrecondition(
        f"{path.name} cannot be written: {error.strerror}.", reason="NOT_WRITABLE", fix="Choose another place."
    )


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
