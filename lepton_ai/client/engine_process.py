"""A process that makes the calls of a forked one: it starts fresh, so its gRPC works and it shares nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_ai.client import forking
from lepton_ai.client.engine import Call, ClientOptions
from lepton_ai.errors import DeadlineExceeded, FailedPrecondition, InternalError, InvalidInput, LeptonError, Unavailable

if TYPE_CHECKING:
    from lepton_ai.client.asynchronous import AsyncClient
    from lepton_ai.package.transfer import OnProgress

_FIX = "Start this process with the method spawn, or before anything is called: then it calls by itself."
_END_S = 5.0


@dataclass(frozen=True)
class _Request:
    number: int
    directory: str
    """Where relative paths start from."""
    call: Call
    wants_progress: bool


@dataclass(frozen=True)
class _Told:
    """What the process says about a request: an answer, an error, or how far it has come."""

    number: int
    answer: Any = None
    error: BaseException | None = None
    progress: tuple[int, int] | None = None


class EngineProcess:
    """The engine as the forked process sees it. It ends with this process, however that ends."""

    def __init__(self, options: ClientOptions) -> None:
        """Raises DeadlineExceeded or FailedPrecondition when it does not start within the timeout of a call."""
        self.is_lost = False
        self._numbers = itertools.count()
        self._waiting: dict[int, tuple[Future[Any], OnProgress | None]] = {}
        self._lock = threading.Lock()
        self._process, self._connection = _start()
        try:
            self._shake_hands(options)
        except BaseException:
            self._process.kill()
            self._end()
            raise
        forking.leave_to_parent(self)
        self._reader = threading.Thread(target=self._read, name="lepton-engine", daemon=True)
        self._reader.start()

    def run(self, call: Call, on_progress: OnProgress | None = None) -> Any:
        future: Future[Any] = Future()
        here = str(Path.cwd())
        with self._lock:
            if self.is_lost:
                raise _gone()
            number = next(self._numbers)
            self._waiting[number] = future, on_progress
            try:
                self._connection.send(_Request(number, here, call, on_progress is not None))
            except OSError:
                del self._waiting[number]
                self.is_lost = True
                raise _gone() from None
            except Exception as error:  # what pickle raises depends on the value
                del self._waiting[number]
                raise InvalidInput.of_field(
                    "inputs", f"cannot be handed to the process that sends it: {error}", fix="Send plain values."
                ) from error
        return future.result()

    def close(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._connection.send(None)
        self._end()
        self._reader.join()

    def _shake_hands(self, options: ClientOptions) -> None:
        try:
            self._connection.send(options)
            if not self._connection.poll(options.timeout_s):
                message = f"The process that calls for this forked one did not start within {options.timeout_s:g} s."
                raise DeadlineExceeded(message, fix=_FIX)
            told: _Told = self._connection.recv()
        except (EOFError, OSError) as error:
            message = "The process that calls for this forked one could not start; its standard error says why."
            raise FailedPrecondition(message, reason="FORKED", fix=_FIX) from error
        if told.error is not None:
            raise told.error

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._take(self._connection.recv())
        with self._lock:
            self.is_lost = True
            left, self._waiting = self._waiting, {}
        for future, _ in left.values():
            future.set_exception(_gone())

    def _take(self, told: _Told) -> None:
        future, on_progress = self._waiting[told.number]
        if told.progress is not None and on_progress is not None:
            try:
                on_progress(*told.progress)
            except Exception as error:  # noqa: BLE001 - from the caller's own callback, so it ends the call
                if not future.done():
                    future.set_exception(error)
            return
        del self._waiting[told.number]
        if future.done():
            return
        if told.error is not None:
            future.set_exception(told.error)
        else:
            future.set_result(told.answer)

    def _end(self) -> None:
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _start() -> tuple[subprocess.Popen[bytes], Connection]:
    mine, its = socket.socketpair()
    program = "from lepton_ai.client.engine_process import main; main()"
    # -P and the path of this process: the new process imports the same Lepton, whatever lies in the working directory.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    with its:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", program, str(its.fileno())], pass_fds=[its.fileno()], env=environment
        )
    return process, Connection(mine.detach())


def _gone() -> Unavailable:
    return Unavailable("The process that calls for this forked one has ended.", fix="Call again: another one starts.")


def main() -> None:
    """Run the engine: answer requests from the connection until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that it serves; it ends with that one
    connection = Connection(int(sys.argv[1]))
    asyncio.run(_serve(connection, connection.recv()))


async def _serve(connection: Connection, options: ClientOptions) -> None:
    client = options.make()
    connection.send(_Told(-1))
    tasks: set[asyncio.Task[None]] = set()
    while (request := await asyncio.to_thread(_receive, connection)) is not None:
        if request.directory != str(Path.cwd()):
            os.chdir(request.directory)
        task = asyncio.create_task(_answer(connection, client, request))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    for task in tasks:
        task.cancel()
    await client.close()


def _receive(connection: Connection) -> _Request | None:
    try:
        request: _Request | None = connection.recv()
    except (EOFError, OSError):
        return None
    return request


async def _answer(connection: Connection, client: AsyncClient, request: _Request) -> None:
    def on_progress(sent: int, total: int) -> None:
        connection.send(_Told(request.number, progress=(sent, total)))

    try:
        answer = await request.call.run(client, on_progress if request.wants_progress else None)
        told = _Told(request.number, answer)
    except Exception as error:  # noqa: BLE001 - the caller gets every kind
        told = _Told(request.number, error=error if isinstance(error, LeptonError) else _plain(error))
    connection.send(told)


def _plain(error: Exception) -> Exception:
    """An error that can be sent: Python's own errors as they are, others as an InternalError with their name."""
    return error if type(error).__module__ == "builtins" else InternalError(f"{type(error).__name__}: {error}")
