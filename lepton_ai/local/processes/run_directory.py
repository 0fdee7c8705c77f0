"""The folder in which a local stack lives (`.lepton`): data, logs, control socket, pid files and a lock."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lepton_ai.errors import FailedPrecondition

_SOCKET_PATH_BYTES = 100
"""A Unix socket's path may have 103 bytes on macOS and 107 on Linux; supervisord appends its pid while it binds."""


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
    def socket(self) -> Path:
        """supervisord's control socket: here, or in the temporary directory if this path is too long."""
        path = self.supervisor / "control.sock"
        if len(os.fsencode(path.absolute())) + 8 <= _SOCKET_PATH_BYTES:
            return path.absolute()
        digest = hashlib.sha256(os.fsencode(self.home.absolute())).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"lepton-{os.getuid()}-{digest}" / "control.sock"

    def log(self, process: str) -> Path:
        """The log file of a process."""
        return self.logs / f"{process}.log"

    def pid_file(self, process: str) -> Path:
        """Holds the pid of the process while it runs: written by the supervisor at each start, deleted at each end."""
        return self.supervisor / f"{process}.pid"

    def make(self) -> None:
        """Create the folders. Everything in them is this user's own."""
        for folder in (self.home, self.data, self.cache, self.logs, self.supervisor, self.socket.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.socket.parent.stat().st_uid != os.getuid():
            raise FailedPrecondition("The folder for the control socket belongs to another user.")

    def set_logs_aside(self) -> None:
        """Begin new logs; those of the last run stay beside them as NAME.log.1."""
        for log in self.logs.glob("*.log"):
            log.replace(log.with_name(f"{log.name}.1"))

    def wipe(self) -> None:
        """Delete data, cache, logs and everything else that stacks left here, but not the folder itself."""
        for folder in (self.data, self.cache, self.logs, self.supervisor):
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
