"""Processes that inspect one package each, forked from one that has everything loaded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lepton_ai.errors import InternalError

_IDLE_S = 60.0
"""After so long without a package the fork server ends, and gives its 100 MB back."""
_MAX_OUTPUT_BYTES, _MAX_LOG_BYTES = 64 << 10, 64 << 10
_PROGRAM = "services.registry.inspection.fork_server"


@dataclass(frozen=True)
class Ended:
    """What became of an inspector."""

    returncode: int | None
    """None when nobody can say, as the fork server is gone."""
    output: bytes
    log: bytes


class InspectorProcesses:
    """Starts inspectors. The fork server begins with the first one, and ends with `close` or when idle."""

    def __init__(self) -> None:
        self._server: asyncio.subprocess.Process | None = None
        self._requests: socket.socket | None = None
        self._running = 0
        self._idle: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None

    async def run(self, arguments: Sequence[str], given: bytes) -> Ended:
        """Run one to its end: its arguments, its input. Cancelling kills it."""
        self._running += 1
        try:
            talk, log, control = await self._fork(arguments)
            return await _communicate(talk, log, control, given)
        finally:
            self._running -= 1
            self._watch_idleness()

    async def close(self) -> None:
        """End the fork server, and what it has forked."""
        if self._idle is not None:
            self._idle.cancel()
        server, requests, self._server, self._requests = self._server, self._requests, None, None
        if requests is not None:
            requests.close()
        if server is not None:
            await server.wait()

    async def _fork(self, arguments: Sequence[str]) -> tuple[socket.socket, socket.socket, socket.socket]:
        """Our ends of what the inspector talks through, of its log and of its control."""
        ours, theirs = zip(*(socket.socketpair() for _ in range(3)), strict=True)
        try:
            await self._request(json.dumps(list(arguments)).encode(), [each.fileno() for each in theirs])
        except BaseException:
            for each in ours:
                each.close()
            raise
        finally:
            for each in theirs:
                each.close()
        return ours[0], ours[1], ours[2]

    async def _request(self, message: bytes, descriptors: list[int]) -> None:
        for _ in range(2):
            requests = self._requests or await self._begin()
            try:
                socket.send_fds(requests, [message], descriptors)
            except (BrokenPipeError, ConnectionResetError):  # somebody has killed it
                await self.close()
            else:
                return
        raise InternalError(
            "The process that checks packages does not start.",
            reason="INSPECTION_FAILED",
            fix="Look what the registry's log says: lepton logs registry.",
        )

    async def _begin(self) -> socket.socket:
        requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._requests = requests
        try:
            self._server = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", _PROGRAM, str(theirs.fileno())),
                env=_environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except BaseException:
            requests.close()
            self._requests = None
            raise
        finally:
            theirs.close()
        return requests

    def _watch_idleness(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(_IDLE_S, self._end_if_idle)

    def _end_if_idle(self) -> None:
        if not self._running:
            self._ending = asyncio.create_task(self.close())


def _environment() -> dict[str, str]:
    """Only this of our own environment, which may hold secrets. One thread per library: the inspector has one job."""
    return {
        "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


async def _communicate(talk: socket.socket, log: socket.socket, control: socket.socket, given: bytes) -> Ended:
    reader, writer = await asyncio.open_connection(sock=talk)
    log_reader, log_writer = await asyncio.open_connection(sock=log)
    control_reader, control_writer = await asyncio.open_connection(sock=control)
    try:
        writer.write(given)
        writer.write_eof()
        output, said, status = await asyncio.gather(
            _read(reader, _MAX_OUTPUT_BYTES), _read(log_reader, _MAX_LOG_BYTES), _read(control_reader, 16)
        )
        return Ended(int(status) if status else None, output, said)
    finally:
        for each in (control_writer, writer, log_writer):  # the control first: whoever still runs is killed
            each.close()


async def _read(reader: asyncio.StreamReader, size_bytes: int) -> bytes:
    """The last so many bytes, up to the end or until the other side is gone."""
    kept = b""
    with contextlib.suppress(ConnectionResetError):
        while data := await reader.read(size_bytes):
            kept = (kept + data)[-size_bytes:]
    return kept
