"""The folder in which a local stack lives (`.lepton`): data, logs, sockets, secrets, pid files and a lock.

It keeps out other users of the machine: everything lies in folders that only this user may enter.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lepton_ai.errors import FailedPrecondition
from lepton_ai.local.secret_files import ensure_secret
from lepton_ai.local.stack import SECRETS_NAME

_SOCKET_PATH_BYTES = 100
"""A Unix socket's path may have 103 bytes on macOS and 107 on Linux."""
_SOCKET_NAME_BYTES = 21
"""Bytes of the longest name with its slash: `control.sock` and the pid that supervisord appends while it binds."""
_WRITE, _ANYTHING = 0o022, 0o077
"""Bits of a folder's mode: what the group and others may do."""


@dataclass(frozen=True)
class RunDirectory:
    """The paths in one run directory. Making the value touches no file."""

    home: Path

    @property
    def data(self) -> Path:
        """What a stack remembers when it is down: etcd's and the registry's data, the model repository, spans."""
        return self.home / "data"

    @property
    def cache(self) -> Path:
        """What can be fetched or computed again."""
        return self.home / "cache"

    @property
    def logs(self) -> Path:
        """One file a process."""
        return self.home / "logs"

    @property
    def supervisor(self) -> Path:
        """supervisord's configuration, process table and pid files."""
        return self.home / "supervisor"

    @property
    def compose(self) -> Path:
        """What Compose said last; it exists once the platform was started in containers."""
        return self.home / "compose"

    @property
    def secrets(self) -> Path:
        """Secrets that programs prove themselves to one another with, one file each."""
        return self.home / SECRETS_NAME

    def secret(self, name: str) -> Path:
        """A file with a random secret, made on first use. Raises FailedPrecondition as `make` does."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        _forbid(self.home, others=_WRITE)
        self.secrets.mkdir(mode=0o700, exist_ok=True)
        _forbid(self.secrets, others=_ANYTHING)
        return ensure_secret(self.secrets / name)

    @property
    def sockets(self) -> Path:
        """Where programs listen for this user alone: here, or in the temporary directory if this path is too long."""
        folder = self.supervisor.absolute()
        if len(os.fsencode(folder)) + _SOCKET_NAME_BYTES <= _SOCKET_PATH_BYTES:
            return folder
        digest = hashlib.sha256(os.fsencode(self.home.absolute())).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"lepton-{os.getuid()}-{digest}"

    @property
    def socket(self) -> Path:
        """supervisord's control socket."""
        return self.sockets / "control.sock"

    def socket_of(self, process: str) -> Path:
        """The socket of a process. Neither etcd nor Triton takes an address without a port, so the name ends in one."""
        return self.sockets / f"{process}.sock:1"

    def log(self, process: str) -> Path:
        """The log file of a process."""
        return self.logs / f"{process}.log"

    def pid_file(self, process: str) -> Path:
        """Holds the pid of the process while it runs: written by the supervisor at each start, deleted at each end."""
        return self.supervisor / f"{process}.pid"

    def triton(self, process: str) -> Path:
        """Where a Triton keeps its backend; what it shares with its stubs is named after this folder."""
        return self.cache / process

    def make(self) -> None:
        """Create the folders, and close existing ones to other users: everything in them is this user's own.

        Raises FailedPrecondition when one of them belongs to another user.
        """
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Others may read it, as it may hold other things too. But whoever can write there could replace our folders.
        _forbid(self.home, others=_WRITE)
        for folder in (self.data, self.cache, self.logs, self.supervisor, self.sockets):
            folder.mkdir(mode=0o700, exist_ok=True)
            _forbid(folder, others=_ANYTHING)

    def set_logs_aside(self) -> None:
        """Begin new logs; those of the last run stay beside them as NAME.log.1."""
        for log in self.logs.glob("*.log"):
            log.replace(log.with_name(f"{log.name}.1"))

    def wipe(self) -> None:
        """Delete data, cache, logs and everything else that stacks left here, but not the folder itself."""
        for folder in (self.data, self.cache, self.logs, self.supervisor, self.secrets):
            if folder.exists():
                shutil.rmtree(folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the right to start and stop this stack. Raises FailedPrecondition when another command holds it."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.home / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise FailedPrecondition(
                    "Another command is starting or stopping this stack right now.",
                    fix="Wait until it is done, then try again.",
                ) from error
            yield


def _forbid(folder: Path, *, others: int) -> None:
    """Take these rights from others, if they have them. Raises FailedPrecondition for another user's folder."""
    found = folder.stat()
    if found.st_uid != os.getuid():
        raise FailedPrecondition(
            f"The folder {folder.name} of the run directory belongs to another user.",
            fix="Start the stack as the user who owns its run directory, or choose another one with --home.",
        )
    if found.st_mode & others:
        folder.chmod(stat.S_IMODE(found.st_mode) & ~others)
