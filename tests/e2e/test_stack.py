"""The whole local stack through the command line, as a user meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lepton_ai.local.processes.supervision import find_members
from lepton_ai.local.stack import connection, read_state

_UP = ("up", "--mode", "local", "--any-ports", "--timeout", "90", "--json")


def _lepton(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEPTON_")}
    command = [sys.executable, "-c", "from lepton_ai.cli import main; main()", *arguments]
    return subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=110, check=False
    )


def _json(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project folder with a stack that is up."""
    project = tmp_path_factory.mktemp("项目")
    try:
        done = _lepton(project, *_UP)
        assert done.returncode == 0, done.stderr + _lepton(project, "logs", "-n", "5").stdout
        yield project
    finally:
        state = read_state(project / ".lepton")
        _lepton(project, "down")
        assert state is None or not find_members(state.stack_id)


def _names(rows: Sequence[dict[str, Any]]) -> set[str]:
    return {row["name"] for row in rows}


def test_everything_is_ready_after_up(project: Path) -> None:
    status = _json(_lepton(project, "status", "--json"))
    assert status["ready"]
    assert _names(status["processes"]) == {
        "etcd", "traces", "triton", "registry", "preprocess", "inference", "health",
    }  # fmt: skip
    assert {row["restarts"] for row in status["processes"]} == {0}


@pytest.mark.parametrize("part", ["inference", "registry", "health"])
def test_a_client_finds_each_service_by_the_run_state_and_it_serves(project: Path, part: str) -> None:
    address = getattr(connection(project / ".lepton"), part)
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=5)  # type: ignore[attr-defined]
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_a_second_up_says_that_it_is_up(project: Path) -> None:
    assert _json(_lepton(project, *_UP))["already_up"] is True


def test_status_is_a_table_for_people(project: Path) -> None:
    done = _lepton(project, "status")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["process", "state", "pid", "up", "for", "restarts", "address"]
    assert any(line.startswith("inference") and " ready " in line for line in lines)


def test_the_logs_of_a_part_are_shown_by_its_name(project: Path) -> None:
    done = _lepton(project, "logs", "preprocess", "-n", "1")
    assert done.returncode == 0
    assert {line.split("│")[0].strip() for line in done.stdout.splitlines()} <= {"preprocess"}


def test_commands_work_from_a_folder_inside_the_project(project: Path) -> None:
    below = project / "src"
    below.mkdir(exist_ok=True)
    assert _json(_lepton(below, "status", "--json"))["ready"]


def test_without_a_stack_status_fails_and_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))  # where stacks that run elsewhere are listed
    done = _lepton(tmp_path, "status")
    assert done.returncode == 1
    assert "lepton up" in done.stderr


def test_down_without_a_stack_is_fine(tmp_path: Path) -> None:
    assert _json(_lepton(tmp_path, "down", "--json")) == {"stopped_processes": 0, "wiped": False}
