"""The run state file: what a client finds of a running stack, by reading alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lepton_ai.errors import DataLoss, NotFound
from lepton_ai.local.stack import (
    ProcessRecord,
    StackState,
    connection,
    delete_state,
    find_home,
    read_state,
    write_state,
)

_STATE = StackState(
    mode="local",
    stack_id="1f",
    started_at=12.5,
    addresses={"inference": "127.0.0.1:8500", "registry": "127.0.0.1:8510", "traces": "http://127.0.0.1:16686"},
    ports={"inference": 8500},
    replicas={"preprocess": 2},
    supervisor=ProcessRecord(4711, 99.25),
    supervisor_socket="/run/模型/control.sock",
    processes={"inference": ProcessRecord(4712, 100.5)},
)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    write_state(tmp_path / "新" / ".lepton", _STATE)
    assert read_state(tmp_path / "新" / ".lepton") == _STATE


def test_there_is_no_state_before_a_start_and_after_the_end(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    write_state(tmp_path, _STATE)
    delete_state(tmp_path)
    delete_state(tmp_path)
    assert read_state(tmp_path) is None


def test_a_state_of_containers_needs_no_processes_and_no_supervisor(tmp_path: Path) -> None:
    write_state(tmp_path, StackState("docker", "a", 1.0, {"inference": "127.0.0.1:8500"}))
    state = read_state(tmp_path)
    assert state is not None
    assert (state.mode, state.supervisor, state.processes) == ("docker", None, {})


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 1, "mode": "local"}'])
def test_a_broken_state_file_is_reported_with_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "stack.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataLoss) as caught:
        read_state(tmp_path)
    assert caught.value.fix


def test_a_client_learns_the_addresses(tmp_path: Path) -> None:
    write_state(tmp_path, _STATE)
    found = connection(tmp_path)
    assert (found.inference, found.registry, found.traces) == (
        "127.0.0.1:8500",
        "127.0.0.1:8510",
        "http://127.0.0.1:16686",
    )
    assert found.health == ""


def test_a_client_without_a_stack_is_told_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="lepton up"):
        connection(tmp_path)


def test_the_stack_of_a_folder_above_is_found(tmp_path: Path) -> None:
    write_state(tmp_path / ".lepton", _STATE)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_home(below) == tmp_path / ".lepton"


def test_a_new_stack_belongs_to_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / ".lepton").mkdir()  # a stack that is down
    below = tmp_path / "a"
    below.mkdir()
    assert find_home(below) == below / ".lepton"


def test_a_client_needs_nothing_of_what_only_the_local_stack_needs() -> None:
    script = "import sys, lepton_ai.local.stack as _; print([m for m in ('psutil', 'supervisor') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"
