"""Starts supervisord for a run directory, talks to it over its Unix socket, and finds what a dead one left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, cast

import psutil

from lepton_ai.errors import InternalError, Unavailable
from lepton_ai.local.processes.readiness import SocketConnection
from lepton_ai.local.processes.run_directory import RunDirectory
from lepton_ai.local.processes.table import Process
from lepton_ai.local.processes.table_file import TABLE_NAME, write_table
from lepton_ai.local.stack import ProcessRecord

STACK_ID_VARIABLE = "LEPTON_STACK_ID"
_CALL_TIMEOUT_S = 5.0
_START_TIMEOUT_S = 15.0
_POLL_S = 0.02
# supervisor.xmlrpc.Faults, without the time that importing it takes
_FAULT_SHUTDOWN_STATE = 6
_FAULT_ALREADY_STARTED = 60
_FAULT_NOT_RUNNING = 70
_CONFIGURATION = """\
; Written by `lepton up`; changes are lost. Paths are relative to this folder, in which supervisord runs.
[supervisord]
silent=true
logfile=supervisord.log
logfile_maxbytes=1MB
logfile_backups=1
pidfile=supervisord.pid
minfds=1024
umask=077
childlogdir=.

[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""


@dataclass(frozen=True)
class ProcessStatus:
    """What supervisord knows of a process right now."""

    name: str
    state: str
    """supervisor's word: STARTING, RUNNING, BACKOFF, EXITED, STOPPING, STOPPED."""
    pid: int | None
    uptime_s: float
    starts: int
    """How often it was started since the stack came up."""

    @property
    def alive(self) -> bool:
        """Whether the process exists."""
        return self.pid is not None


class _SocketTransport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> HTTPConnection:
        connection = SocketConnection(self._path, _CALL_TIMEOUT_S)
        self._connection = host, connection  # kept where close() looks for it
        return connection


class Supervisor:
    """The supervisord of one run directory, which may or may not be running."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory

    def running(self) -> bool:
        """Whether it answers."""
        try:
            self._call("getPID")
        except Unavailable:
            return False
        return True

    def start(self, processes: Sequence[Process], *, stack_id: str, environment: Mapping[str, str]) -> ProcessRecord:
        """Start supervisord and with it all processes; returns once it answers. Raises InternalError if it does not."""
        folder = self._directory.supervisor
        _clear(folder)
        self._write_files(folder, processes)
        command = [sys.executable, "-P", "-m", "lepton_ai.local.processes.supervisord", "-c", "supervisord.conf"]
        with (folder / "output.log").open("wb") as output:
            # Becomes a daemon in a session of its own: Ctrl-C in the terminal of `lepton up` does not reach the stack.
            done = subprocess.run(
                command,
                cwd=folder,
                env={**environment, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", STACK_ID_VARIABLE: stack_id},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=_START_TIMEOUT_S,
                check=False,
            )
        if done.returncode:
            raise _not_started()
        return self._await_start()

    def _write_files(self, folder: Path, processes: Sequence[Process]) -> None:
        control = self._directory.socket
        # A relative path cannot hold anything that supervisor's format would misread.
        name = control.name if control.parent == folder.absolute() else str(control)
        (folder / "supervisord.conf").write_text(_CONFIGURATION.format(socket=name), encoding="utf-8")
        write_table(folder / TABLE_NAME, processes, self._directory)

    def _await_start(self) -> ProcessRecord:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                record = record_of(int(self._call("getPID")))
            except Unavailable:
                time.sleep(_POLL_S)
                continue
            if record is not None:
                return record
        raise _not_started()

    def processes(self) -> tuple[ProcessStatus, ...]:
        """All processes. Raises Unavailable when supervisord does not answer."""
        try:
            rows = cast("list[dict[str, Any]]", self._call("getAllProcessInfo"))
        except xmlrpc.client.Fault as fault:  # it shuts down
            raise Unavailable("The process supervisor is stopping.", fix="Try again in a moment.") from fault
        return tuple(self._status(row) for row in rows)

    def _status(self, row: Mapping[str, Any]) -> ProcessStatus:
        pid = int(row["pid"]) or None
        return ProcessStatus(
            name=row["name"],
            state=row["statename"],
            pid=pid,
            uptime_s=max(0.0, float(row["now"]) - float(row["start"])) if pid else 0.0,
            starts=_read_number(self._directory.supervisor / f"{row['name']}.starts"),
        )

    def stop(self, names: Iterable[str], *, timeout_s: float) -> None:
        """Send SIGTERM to all of these at once and wait; supervisord kills those that take too long."""
        wanted = set(names)
        for status in self.processes():
            if status.name in wanted and status.state in ("STARTING", "RUNNING", "BACKOFF"):
                self._stop_unless_stopped(status.name)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not any(status.name in wanted and status.alive for status in self.processes()):
                return
            time.sleep(_POLL_S)

    def resume(self, names: Iterable[str]) -> None:
        """Start again what `stop` stopped. Raises Unavailable when supervisord does not answer."""
        for name in names:
            try:
                self._call("startProcess", name, False)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode != _FAULT_ALREADY_STARTED:
                    raise

    def _stop_unless_stopped(self, name: str) -> None:
        try:
            self._call("stopProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _FAULT_NOT_RUNNING:  # else it had ended by itself a moment before
                raise

    def shutdown(self) -> None:
        """Ask supervisord to stop what still runs, and itself."""
        try:
            self._call("shutdown")
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _FAULT_SHUTDOWN_STATE:  # else it is shutting down already
                raise

    def _call(self, method: str, *arguments: Any) -> Any:
        """Raises Unavailable without supervisord, and Fault when it refuses."""
        proxy = xmlrpc.client.ServerProxy(
            "http://localhost/RPC2", transport=_SocketTransport(str(self._directory.socket))
        )
        try:
            with proxy:
                return getattr(proxy.supervisor, method)(*arguments)
        except (OSError, HTTPException, xmlrpc.client.ProtocolError) as error:
            raise Unavailable("The process supervisor does not answer.", fix="Run `lepton up` to recover.") from error


def _not_started() -> InternalError:
    return InternalError(
        "The process supervisor did not start.", fix="See supervisor/output.log in the run directory for the reason."
    )


def find_members(stack_id: str) -> tuple[psutil.Process, ...]:
    """Every process that carries the stack's random id in its environment: supervisord, and all that it started.

    Processes that these have started are found too, whoever their parent is by now. Neither names nor pids are trusted,
    as the system reuses pids.
    """
    mine = os.getpid()
    return tuple(process for process in psutil.process_iter() if process.pid != mine and _carries(process, stack_id))


def _carries(process: psutil.Process, stack_id: str) -> bool:
    try:
        return process.environ().get(STACK_ID_VARIABLE) == stack_id
    except (psutil.Error, OSError):
        return False  # another user's, or just gone


def end_members(stack_id: str, *, timeout_s: float = 10.0) -> int:
    """Stop all that is left of a stack, with SIGTERM and then SIGKILL; returns how many processes there were."""
    members = find_members(stack_id)
    # Parents go first, so that they do not restart the children that are being stopped.
    for member in sorted(members, key=lambda member: member.pid):
        _signal(member, kill=False)
    _await_end(members, timeout_s)
    left = find_members(stack_id)
    for member in left:
        _signal(member, kill=True)
    _await_end(left, timeout_s)
    return len(members)


def _await_end(processes: Iterable[psutil.Process], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while any(map(_exists, processes)) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _exists(process: psutil.Process) -> bool:
    try:
        # A zombie that nobody reaps is as good as gone.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        # psutil compares the start time first, so it never signals another process with the same pid.
        process.kill() if kill else process.terminate()
    except psutil.NoSuchProcess:
        return


def is_alive(record: ProcessRecord) -> bool:
    """Whether this very process still exists, and is more than a zombie."""
    try:
        process = psutil.Process(record.pid)
        return process.create_time() == record.started_at and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def record_of(pid: int) -> ProcessRecord | None:
    """The record of a process that runs now."""
    try:
        return ProcessRecord(pid, psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def _read_number(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return 0


def _clear(folder: Path) -> None:
    for pattern in ("*.pid", "*.starts", "*.sock*"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
