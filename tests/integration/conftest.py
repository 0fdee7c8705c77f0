"""One fork server for the inspections of all tests in a process: a server of each test's own takes most of a second to
start."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.registry.inspection import processes
from services.registry.inspection.processes import InspectorProcesses


class SharedForkServer:
    """Starts when it is first asked for, and again after it has ended."""

    def __init__(self) -> None:
        self._requests: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def connect(self) -> socket.socket:
        """A way to it, which is the caller's to close; the server goes on."""
        if self._process is not None and self._process.poll() is not None:
            self.close()
        return (self._requests or self._start()).dup()

    def _start(self) -> socket.socket:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", processes._PROGRAM, str(theirs.fileno())],
                env=processes._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        return self._requests

    def close(self) -> None:
        """End it, if it runs."""
        if self._requests is not None and self._process is not None:
            self._requests.close()
            self._process.wait()
        self._requests = self._process = None


@pytest.fixture(scope="session")
def shared_fork_server() -> Iterator[SharedForkServer]:
    server = SharedForkServer()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def fork_servers(shared_fork_server: SharedForkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """All inspections of this process are forked off the shared one. Tests of the servers themselves override this."""

    async def begin(inspectors: InspectorProcesses) -> socket.socket:
        inspectors._requests = shared_fork_server.connect()
        return inspectors._requests

    monkeypatch.setattr(InspectorProcesses, "_begin", begin)
