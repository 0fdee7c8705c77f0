"""supervisord with four additions: it never gives up on a process, leaves no child of a dead one, keeps pid files, and
survives a full disk.

Run as `python -m lepton_ai.local.processes.supervisord -c supervisord.conf`. The processes come from `processes.json`
beside the configuration file, because values in supervisor's own format cannot hold quotes, '%' or ' #', and paths can.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

from supervisor import supervisord
from supervisor.datatypes import RestartUnconditionally
from supervisor.loggers import LevelsByName
from supervisor.medusa import asyncore_25 as asyncore
from supervisor.options import ProcessConfig, ProcessGroupConfig, ServerOptions
from supervisor.process import Subprocess
from supervisor.states import ProcessStates, SupervisorStates

from lepton_ai.local.processes.expendable import ExpendableData
from lepton_ai.local.processes.number_files import NumberFile
from lepton_ai.local.processes.patient_log import install as install_patient_logs
from lepton_ai.local.processes.turns import take_long_turns

BACKOFF_MAX_S = 10
_TABLE_NAME = "processes.json"
_FOR_EVER = sys.maxsize
_PAUSE_S = 1.0
_PRIORITY = 999  # all start at once; `lepton down` knows the order in which they stop


class PatientProcess(Subprocess):  # type: ignore[misc]  # supervisor is untyped
    """A process that is started again for ever, after 1, 2, … and at most BACKOFF_MAX_S seconds."""

    backoff: int

    def __init__(self, config: PatientConfig) -> None:
        super().__init__(config)
        self._starts = 0
        self._pid_file = NumberFile(Path(f"{config.name}.pid"))
        self._starts_file = NumberFile(Path(f"{config.name}.starts"))
        self._data = ExpendableData(Path(config.expendable)) if config.expendable else None

    def change_state(self, new_state: int, expected: bool = True) -> Any:
        """supervisor waits one second more after every failed start; keep that from growing without bound."""
        if new_state == ProcessStates.BACKOFF:
            self.backoff = min(self.backoff, BACKOFF_MAX_S - 1)
        if new_state == ProcessStates.RUNNING and self._data is not None:
            self._data.started()
        return super().change_state(new_state, expected)

    def _spawn_as_parent(self, pid: int) -> int:
        self._starts += 1
        self._pid_file.write(pid)
        self._starts_file.write(self._starts)
        spawned: int = super()._spawn_as_parent(pid)
        return spawned

    def finish(self, pid: int, sts: int) -> None:
        """End what the dead process left of its group (Triton's Python stubs), and start it again without delay."""
        # Nobody may signal a pid that may soon be another process's.
        self._pid_file.delete()
        # Mostly the group has ended with its leader, as it should.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        super().finish(pid, sts)
        if self.get_state() == ProcessStates.BACKOFF and os.WIFEXITED(sts):  # a kill says nothing about the data
            self._doubt_data()
        # Otherwise the new start waits for the next turn of supervisord's loop, up to a second.
        self.transition()

    def _doubt_data(self) -> None:
        try:
            done = self._data.failed() if self._data is not None else ""
            if done:
                with Path(self.config.stdout_logfile).open("a", encoding="utf-8") as log:
                    log.write(f"(supervisor) {done}\n")
        except OSError as error:
            done = f"its data could not be set aside: {error.strerror}"
        if done:
            text = f"{self.config.name}: {done}"
            self.config.options.logger.log(LevelsByName.WARN, text)

    def settle_files(self) -> None:
        """Write the number files that a full disk has delayed."""
        self._pid_file.settle()
        self._starts_file.settle()


class PatientConfig(ProcessConfig):  # type: ignore[misc]
    """Makes PatientProcess where supervisor would make its own."""

    expendable = ""
    """The process's data directory, when the process may lose it."""

    def make_process(self, group: Any = None) -> PatientProcess:
        """Called by supervisor."""
        process = PatientProcess(self)
        process.group = group
        return process


class StackOptions(ServerOptions):  # type: ignore[misc]
    """supervisord's options, with the processes taken from the process table."""

    def process_groups_from_parser(self, parser: Any) -> list[Any]:
        """Each process is a group of its own."""
        table = json.loads(Path(_TABLE_NAME).read_text(encoding="utf-8"))
        return [ProcessGroupConfig(self, row["name"], _PRIORITY, [self._process_config(row)]) for row in table]

    def _process_config(self, row: dict[str, Any]) -> PatientConfig:
        configuration = PatientConfig(
            self,
            name=row["name"],
            command=shlex.join(row["command"]),
            directory=row["directory"],
            environment=row["environment"],
            umask=None,
            uid=None,
            serverurl=None,
            priority=_PRIORITY,
            autostart=True,
            autorestart=RestartUnconditionally,
            startsecs=row["restart"]["start_s"],
            startretries=_FOR_EVER,
            stopsignal=signal.SIGTERM,
            stopwaitsecs=row["restart"]["stop_wait_s"],
            stopasgroup=False,  # Triton ends its stubs itself; finish() sees to those that it does not
            killasgroup=True,
            exitcodes=[0],
            redirect_stderr=True,
            **_logging(row["log"], row["log_bytes"]),
        )
        configuration.expendable = row["expendable"]
        return configuration


def _logging(log: str, log_bytes: int) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for stream, path in (("stdout", log), ("stderr", None)):
        settings |= {
            f"{stream}_logfile": path,
            f"{stream}_logfile_maxbytes": log_bytes,
            f"{stream}_logfile_backups": 1,
            f"{stream}_capture_maxbytes": 0,
            f"{stream}_events_enabled": False,
            f"{stream}_syslog": False,
        }
    return settings


class StackSupervisor(supervisord.Supervisor):  # type: ignore[misc]
    """Ends itself and the stack when its folder is deleted, since nobody could find them to stop them any more.

    No disk error ends it: without it nobody would restart processes that die.
    """

    def runforever(self) -> None:
        """Called by supervisor, once."""
        while True:
            try:
                super().runforever()
                return
            except OSError as error:
                text = f"an error of the system is passed over: {error}"
                self.options.logger.critical(text)
                time.sleep(_PAUSE_S)

    def tick(self, now: float | None = None) -> None:
        """Called at least once a second."""
        super().tick(now)
        for group in self.process_groups.values():
            for process in group.processes.values():
                process.settle_files()
        if not Path(_TABLE_NAME).exists():
            self.options.mood = SupervisorStates.SHUTDOWN


def main() -> None:
    """Run until told to shut down."""
    take_long_turns()
    install_patient_logs()
    options = StackOptions()
    options.realize(doc=supervisord.__doc__)
    options.first, options.test = True, False
    # How supervisord leaves its loop.
    with contextlib.suppress(asyncore.ExitNow):
        StackSupervisor(options).main()
    options.close_httpservers()
    options.close_logger()


if __name__ == "__main__":
    main()
