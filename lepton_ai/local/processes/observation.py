"""How a stack is: each process's state as supervisord and the process itself tell it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lepton_ai.disk import describe_low
from lepton_ai.errors import Unavailable
from lepton_ai.local.processes.readiness import check_all
from lepton_ai.local.processes.run_directory import RunDirectory
from lepton_ai.local.processes.supervision import ProcessStatus, Supervisor
from lepton_ai.local.processes.table import Process
from lepton_ai.local.processes.table_file import TABLE_NAME, read_table
from lepton_ai.local.stack import StackState

_TAIL_BYTES = 64 * 1024


@dataclass(frozen=True)
class ProcessHealth:
    """One process as a person wants to see it."""

    process: Process
    status: ProcessStatus | None
    """None while supervisord does not run or does not know it."""
    ready: bool

    @property
    def state(self) -> str:
        """ready, starting, restarting, stopped, or unsupervised (it answers, but nobody restarts it)."""
        if self.status is None:
            return "unsupervised" if self.ready else "stopped"
        if self.status.state in ("STOPPED", "STOPPING"):
            return "stopped"
        if self.ready:
            return "ready"
        return "restarting" if self.status.starts > 1 or not self.status.alive else "starting"


@dataclass(frozen=True)
class StackHealth:
    """A whole stack as it is right now."""

    state: StackState
    processes: tuple[ProcessHealth, ...]
    disk_problem: str = ""
    """A sentence about a disk that is nearly full."""

    @property
    def supervised(self) -> bool:
        """Whether supervisord runs. Without it nothing is restarted."""
        return any(health.status is not None for health in self.processes)

    @property
    def ready(self) -> bool:
        """Whether every process is ready and under supervision."""
        return bool(self.processes) and all(health.state == "ready" for health in self.processes)

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong apart from single processes, a sentence each with what to do."""
        gone = "The supervisor is gone: nothing is restarted. `lepton up` recovers the stack."
        return tuple(filter(None, ("" if self.supervised else gone, self.disk_problem)))


def read_processes(directory: RunDirectory) -> tuple[Process, ...]:
    """The processes of the stack that was started last in this run directory."""
    return read_table(directory.supervisor / TABLE_NAME)


def read_health(directory: RunDirectory, state: StackState) -> StackHealth:
    """Ask supervisord and every process, and look at the disk."""
    processes = read_processes(directory)
    try:
        statuses = Supervisor(directory).processes()
    except Unavailable:
        statuses = ()
    return StackHealth(state, combine(processes, statuses, check_all(processes)), describe_low(directory.home))


def combine(
    processes: Iterable[Process], statuses: Iterable[ProcessStatus], ready: frozenset[str]
) -> tuple[ProcessHealth, ...]:
    """Put together what is known of each process."""
    status_by_name = {status.name: status for status in statuses}
    return tuple(
        ProcessHealth(process, status_by_name.get(process.name), process.name in ready) for process in processes
    )


def read_tail(path: Path, lines: int) -> tuple[str, ...]:
    """The last lines of a log file (of at most its last 64 KiB); nothing when there is none."""
    try:
        with path.open("rb") as log:
            size_bytes = log.seek(0, 2)
            log.seek(max(0, size_bytes - _TAIL_BYTES))
            text = log.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ()
    return tuple(text.splitlines()[-lines:]) if lines else ()
