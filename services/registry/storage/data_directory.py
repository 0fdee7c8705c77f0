"""The registry's directory: one process at a time, nothing half written left over from the one before."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from lepton_ai.errors import FailedPrecondition
from services.registry.storage.kept_uploads import KeepLimits, KeptUploads


class DataDirectory:
    """`registry.sqlite`, `blobs/`, `staging/` and `uploads/` in one directory, locked while it is open."""

    def __init__(self, root: Path, keep: KeepLimits | None = None) -> None:
        """`keep`: what is kept of uploads that broke off."""
        self._root = root
        self.kept = KeptUploads(root / "uploads", keep)
        self._lock: int | None = None

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self._root / "registry.sqlite"

    @property
    def blobs(self) -> Path:
        """Where file contents are kept."""
        return self._root / "blobs"

    def open(self) -> None:
        """Make and lock the directory; keep what has arrived of unfinished uploads, and throw away the rest of them.

        Raises FailedPrecondition when another registry uses it or it cannot be written.
        """
        try:
            self.blobs.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.kept.open()
            for incoming in self._staging.glob("*/incoming"):
                self.kept.keep(incoming)
            shutil.rmtree(self._staging, ignore_errors=True)
            self._staging.mkdir(mode=0o700)
        except BlockingIOError as error:
            self.close()
            raise FailedPrecondition(
                "Another registry uses this data directory.", fix="Stop it, or set LEPTON_DATA_DIR to another one."
            ) from error
        except OSError as error:
            self.close()
            raise FailedPrecondition(
                f"The data directory cannot be used: {error.strerror}.",
                fix="Make room if its disk is full, or set LEPTON_DATA_DIR to a directory that this user may write.",
            ) from error

    def new_staging(self) -> Path:
        """A fresh directory for one upload."""
        return Path(tempfile.mkdtemp(dir=self._staging))

    def close(self) -> None:
        """Unlock. The lock also ends with the process, however that ends."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def _staging(self) -> Path:
        return self._root / "staging"
