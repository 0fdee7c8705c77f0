"""What the local stack promises for any process that it runs, shown on small stand-ins."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from lepton_ai.errors import FailedPrecondition, NotFound
from lepton_ai.local.processes.lifecycle import ProcessFailed, Stack, StackOptions
from lepton_ai.local.processes.observation import StackHealth, read_health
from lepton_ai.local.processes.run_directory import RunDirectory
from lepton_ai.local.processes.supervision import find_members
from lepton_ai.local.processes.table import Layout, Part, Restart
from lepton_ai.local.stack import StackState, connection, read_state
from lepton_ai.testing import eventually

_OPTIONS = StackOptions(usual_ports=False, timeout_s=30)
_SERVER = """
import http.server, subprocess, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("pid of the child:", child.pid, flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
"""
_CRASH = "import sys; print('坏了: cannot start', flush=True); sys.exit(3)"


def _serve(layout: Layout, name: str) -> tuple[str, ...]:
    return (sys.executable, "-c", _SERVER, str(layout.ports[name]))


def _crash(_layout: Layout, _name: str) -> tuple[str, ...]:
    return (sys.executable, "-c", _CRASH)


def _nothing(_layout: Layout, _name: str) -> Mapping[str, str]:
    return {}


_QUICK = Restart(start_s=1, stop_wait_s=5)
_BASE = Part("base", _serve, _nothing, "http", restart=_QUICK)
_FRONT = Part("front", _serve, _nothing, "http", needs=("base",), restart=_QUICK)
_BROKEN = Part("broken", _crash, _nothing, "http", restart=_QUICK)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    # supervisor's own file format could not hold this path.
    stack = Stack(tmp_path / "目录 #1; 50% 'q'", parts=(_BASE, _FRONT))
    yield stack
    state = read_state(stack.directory.home)
    stack.take_down()
    assert state is None or not find_members(state.stack_id)


def _pid(stack: Stack, name: str) -> int:
    """The pid of a process; 0 while it does not run."""
    try:
        return int(stack.directory.pid_file(name).read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0


def _health(stack: Stack) -> StackHealth:
    state = read_state(stack.directory.home)
    assert state is not None
    return read_health(stack.directory, state)


async def _restarted(stack: Stack, name: str, old_pid: int) -> None:
    await eventually(
        lambda: _pid(stack, name) not in (0, old_pid) and _health(stack).ready,
        timeout_s=15,
        description=f"{name} is restarted and ready",
    )


def test_all_is_ready_after_up_and_recorded_in_the_run_state(stack: Stack) -> None:
    state = stack.bring_up(_OPTIONS)
    assert _health(stack).ready
    assert read_state(stack.directory.home) == state
    assert {name: record.pid for name, record in state.processes.items()} == {
        "base": _pid(stack, "base"),
        "front": _pid(stack, "front"),
    }


def test_progress_is_told_until_everything_is_ready(stack: Stack) -> None:
    seen: list[StackHealth] = []
    stack.bring_up(_OPTIONS, observe=seen.append)
    assert not seen[0].ready
    assert seen[-1].ready


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    first = stack.bring_up(_OPTIONS)
    assert stack.bring_up(_OPTIONS) == first


def test_a_second_up_with_other_replicas_is_refused(stack: Stack) -> None:
    stack.bring_up(_OPTIONS)
    with pytest.raises(FailedPrecondition, match="lepton down"):
        stack.bring_up(StackOptions(replicas={"front": 2}))


async def test_a_killed_process_comes_back_at_the_same_address(stack: Stack) -> None:
    state = stack.bring_up(_OPTIONS)
    pid = _pid(stack, "front")
    os.kill(pid, signal.SIGKILL)
    await _restarted(stack, "front", pid)
    (front,) = (health for health in _health(stack).processes if health.process.name == "front")
    assert front.process.address == state.addresses["front"]
    assert front.status is not None
    assert front.status.starts == 2


async def test_children_of_a_killed_process_do_not_survive_it(stack: Stack) -> None:
    stack.bring_up(_OPTIONS)
    pid = _pid(stack, "base")
    children = psutil.Process(pid).children()
    assert children
    os.kill(pid, signal.SIGKILL)
    await eventually(
        lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children),
        timeout_s=5,
        description="the children are gone",
    )


def test_down_leaves_no_process_and_no_run_state(stack: Stack) -> None:
    state = stack.bring_up(_OPTIONS)
    assert len(find_members(state.stack_id)) == 5  # supervisord, two processes, a child of each
    stack.take_down()
    assert not find_members(state.stack_id)
    with pytest.raises(NotFound):
        connection(stack.directory.home)


def test_down_when_nothing_runs_is_fine(tmp_path: Path) -> None:
    assert Stack(tmp_path / "home").take_down() == 0


def test_down_with_wipe_deletes_the_data(stack: Stack) -> None:
    stack.bring_up(_OPTIONS)
    (stack.directory.data / "model").write_bytes(b"1")
    stack.take_down(wipe=True)
    assert not stack.directory.data.exists()


def _kill_supervisor(state: StackState) -> None:
    assert state.supervisor is not None
    process = psutil.Process(state.supervisor.pid)
    process.kill()
    process.wait(timeout=5)


def test_down_finds_what_a_killed_supervisor_left(stack: Stack) -> None:
    state = stack.bring_up(_OPTIONS)
    _kill_supervisor(state)
    assert len(find_members(state.stack_id)) == 4
    stack.take_down()
    assert not find_members(state.stack_id)


def test_up_recovers_from_a_killed_supervisor_at_the_same_addresses(stack: Stack) -> None:
    first = stack.bring_up(StackOptions(timeout_s=30))
    _kill_supervisor(first)
    assert not _health(stack).supervised
    second = stack.bring_up(StackOptions(timeout_s=30))
    assert second.addresses == first.addresses
    assert not find_members(first.stack_id)


async def test_a_stack_whose_run_directory_is_deleted_ends_itself(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "home", parts=(_BASE,))
    state = stack.bring_up(_OPTIONS)
    RunDirectory(tmp_path / "home").wipe()
    await eventually(lambda: not find_members(state.stack_id), timeout_s=15, description="the stack ended itself")


def test_a_process_that_cannot_start_is_reported_with_what_it_said(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "home", parts=(_BASE, _BROKEN))
    try:
        started = time.monotonic()
        with pytest.raises(ProcessFailed) as caught:
            stack.bring_up(_OPTIONS)
        assert time.monotonic() - started < 15
        assert caught.value.process == "broken"
        assert "坏了: cannot start" in caught.value.log_tail
        assert "lepton logs broken" in caught.value.fix
    finally:
        stack.take_down()


def test_a_fixed_port_is_kept(stack: Stack, tmp_path: Path) -> None:
    other = Stack(tmp_path / "other", parts=(_BASE,))
    try:
        taken = other.bring_up(_OPTIONS).ports["base"]
        with pytest.raises(FailedPrecondition, match=f"Port {taken}"):
            stack.bring_up(StackOptions(ports={"base": taken}))
    finally:
        other.take_down()
    assert stack.bring_up(StackOptions(ports={"base": taken}, usual_ports=False)).ports["base"] == taken


async def test_a_process_that_does_not_run_has_no_pid_file(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "home", parts=(_BROKEN,))
    try:
        with pytest.raises(ProcessFailed):
            stack.bring_up(_OPTIONS)
        await eventually(
            lambda: not stack.directory.pid_file("broken").exists(), timeout_s=5, description="the pid file is gone"
        )
    finally:
        stack.take_down()
