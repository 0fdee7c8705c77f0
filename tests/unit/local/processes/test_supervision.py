"""Supervision: back-off without end or growth, and only processes of the stack are ever touched."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from supervisor.states import ProcessStates

from lepton_ai.errors import Unavailable
from lepton_ai.local.processes.run_directory import RunDirectory
from lepton_ai.local.processes.supervision import Supervisor, find_members, is_alive, record_of
from lepton_ai.local.processes.supervisord import BACKOFF_MAX_S, PatientProcess, StackOptions
from lepton_ai.local.processes.table import Process, Restart
from lepton_ai.local.processes.table_file import write_table
from lepton_ai.local.stack import ProcessRecord


def _failing_process() -> Any:
    config = SimpleNamespace(name="toy", startretries=1, options=SimpleNamespace(logger=logging.getLogger("toy")))
    return PatientProcess(config)


def _delays_s(process: Any, failures: int) -> list[int]:
    delays = []
    for _ in range(failures):
        process.state = ProcessStates.STARTING
        process.change_state(ProcessStates.BACKOFF)
        delays.append(round(process.delay - time.time()))
    return delays


def test_a_process_that_keeps_failing_is_tried_more_and_more_slowly_up_to_a_bound() -> None:
    delays = _delays_s(_failing_process(), 15)
    assert delays[:3] == [1, 2, 3]
    assert delays == sorted(delays)
    assert set(delays[9:]) == {BACKOFF_MAX_S}


def _configurations(folder: Path, monkeypatch: pytest.MonkeyPatch, process: Process) -> Any:
    folder.mkdir(exist_ok=True)
    write_table(folder / "processes.json", [process], RunDirectory(folder))
    monkeypatch.chdir(folder)
    (group,) = StackOptions().process_groups_from_parser(None)
    (configuration,) = group.process_configs
    return configuration


def _toy(command: tuple[str, ...], environment: dict[str, str]) -> Process:
    return Process("toy", "toy", command, environment, "127.0.0.1:1", "http", restart=Restart(3, 21))


def test_commands_and_environments_reach_supervisor_unharmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nasty = "/tmp/目录 #1; 50% \"q\" 'x'"
    configuration = _configurations(tmp_path, monkeypatch, _toy(("run", nasty, ""), {"HOME_OF": nasty}))
    monkeypatch.setattr(configuration.options, "stat", lambda _path: os.stat_result((0o755,) + (0,) * 9))
    monkeypatch.setattr(configuration, "get_path", lambda: ["/bin"])
    monkeypatch.setattr(configuration.options, "check_execv_args", lambda *_: None)
    _, argv = configuration.make_process().get_execv_args()
    assert argv == ["run", nasty, ""]
    assert configuration.environment == {"HOME_OF": nasty}


def test_a_process_is_restarted_for_ever_and_may_drain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = _configurations(tmp_path, monkeypatch, _toy(("run",), {}))
    assert configuration.startretries > 10**9
    assert configuration.stopwaitsecs == 21
    assert configuration.stdout_logfile_maxbytes > 0
    assert isinstance(configuration.make_process(), PatientProcess)


def test_the_configuration_file_is_understood_by_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = RunDirectory(tmp_path / "目录 #1 50%")
    directory.make()
    Supervisor(directory)._write_files(directory.supervisor, [_toy(("run",), {})])
    monkeypatch.chdir(directory.supervisor)
    options = StackOptions()
    options.realize(["-c", "supervisord.conf"])
    assert [server["file"] for server in options.server_configs] == [str(directory.socket)]
    assert [group.name for group in options.process_group_configs] == ["toy"]


def test_a_supervisor_that_does_not_run_is_unavailable(tmp_path: Path) -> None:
    supervisor = Supervisor(RunDirectory(tmp_path))
    assert not supervisor.running()
    with pytest.raises(Unavailable, match="lepton up"):
        supervisor.processes()


def test_a_process_is_recognised_by_pid_and_start_time_together() -> None:
    record = record_of(os.getpid())
    assert record is not None
    assert is_alive(record)
    assert not is_alive(ProcessRecord(record.pid, record.started_at - 1))


def test_a_pid_that_nobody_has_is_not_alive() -> None:
    free = max(psutil.pids()) + 10_000
    assert record_of(free) is None
    assert not is_alive(ProcessRecord(free, 0.0))


def test_processes_without_the_id_of_the_stack_are_not_its_members() -> None:
    assert find_members("no stack has this id") == ()
