"""A backup as one file: a tar of its folder, uncompressed, as what models hold hardly gets smaller."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lepton_ai.archive import replacing
from lepton_ai.backup.dump import DUMP_FILE
from lepton_ai.errors import DataLoss

SUFFIX = ".tar"


def is_packed(path: Path) -> bool:
    """Whether a backup is, or is to be, one file."""
    return path.suffix == SUFFIX and not path.is_dir()


@contextmanager
def working_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside a file, on its disk, that is gone at the end of the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name[:64]}.", dir=path.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def pack(folder: Path, path: Path) -> None:
    """Write a backup's folder as one file, whole or not at all. Raises ResourceExhausted, FailedPrecondition."""
    with replacing(path) as file, tarfile.open(fileobj=file, mode="w:") as archive:
        archive.add(folder / DUMP_FILE, DUMP_FILE)
        archive.add(folder / "files", "files")
    path.chmod(0o600)


def unpack(path: Path, folder: Path) -> None:
    """Take a backup out of its file. Raises DataLoss for a damaged one, and for members that lead elsewhere."""
    try:
        with tarfile.open(path, mode="r:") as archive:
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise DataLoss(
            "The backup is damaged or not whole; nothing was restored.",
            reason="BACKUP_DAMAGED",
            fix="Take another one.",
        ) from error
