"""Problems of the local stack's machine: a disk that is nearly full, or no supervisor to restart what dies."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

from lepton_ai.disk import describe_low

_CONNECT_TIMEOUT_S = 0.5
_ANSWER_TIMEOUT_S = 1.0
_log = logging.getLogger(__name__)


class Machine:
    """Looks at the disk of a directory and at a supervisor's control socket, where these are given."""

    def __init__(self, *, disk_directory: Path | None, disk_low_bytes: int, supervisor_socket: Path | None) -> None:
        self._disk_directory = disk_directory
        self._disk_low_bytes = disk_low_bytes
        self._supervisor_socket = supervisor_socket
        self._looking: asyncio.Task[dict[str, str]] | None = None

    async def look(self) -> dict[str, str]:
        """The problems, `disk` and `supervisor` → a sentence each with what to do. Never raises."""
        if self._looking is None or self._looking.done():  # one at a time, or a hanging disk would take all threads
            self._looking = asyncio.create_task(asyncio.to_thread(self._look))
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                return await asyncio.shield(self._looking)
        except TimeoutError:
            return {"disk": "The disk that the platform writes to does not answer."}

    def _look(self) -> dict[str, str]:
        found = {"disk": self._look_at_disk(), "supervisor": self._look_for_supervisor()}
        return {kind: problem for kind, problem in found.items() if problem}

    def _look_at_disk(self) -> str:
        if self._disk_directory is None:
            return ""
        try:
            return describe_low(self._disk_directory, low_bytes=self._disk_low_bytes)
        except OSError as error:
            _log.warning("The free space of the disk cannot be read: %s", error.strerror)
            return f"The disk that the platform writes to does not answer: {error.strerror}."

    def _look_for_supervisor(self) -> str:
        if self._supervisor_socket is None:
            return ""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.settimeout(_CONNECT_TIMEOUT_S)
            try:
                caller.connect(str(self._supervisor_socket))
            except TimeoutError:
                return ""  # its queue of callers is full: it is busy, not gone
            except OSError:
                return "The process supervisor is gone: nothing that dies is started again. Run `lepton up` to recover."
        return ""
