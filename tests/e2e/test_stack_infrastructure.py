"""The real etcd, Triton and trace store under the local stack: they come up quickly and survive being killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_ai.local.processes.lifecycle import Stack, StackOptions
from lepton_ai.local.processes.observation import read_health
from lepton_ai.local.processes.supervision import find_members
from lepton_ai.local.processes.table import PARTS
from lepton_ai.local.stack import StackState
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.testing import eventually

_PARTS = tuple(part for part in PARTS if part.name in ("etcd", "traces", "triton"))


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path / "模型", parts=_PARTS)
    yield stack
    stack.take_down()


@pytest.fixture
def state(stack: Stack) -> StackState:
    return stack.bring_up(StackOptions(usual_ports=False, timeout_s=60))


def _read_pid(pid_file: Path) -> int:
    return int(pid_file.read_text(encoding="ascii")) if pid_file.exists() else 0


async def _kill(stack: Stack, state: StackState, name: str) -> float:
    """Kill a process for good and return how many seconds it took until all was ready again."""
    pid_file = stack.directory.pid_file(name)
    pid = _read_pid(pid_file)
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    await eventually(
        lambda: _read_pid(pid_file) not in (0, pid) and read_health(stack.directory, state).ready,
        timeout_s=20,
        description=f"{name} is back",
    )
    return time.monotonic() - killed


@pytest.mark.parametrize("name", ["etcd", "triton", "traces"])
async def test_a_killed_part_is_back_at_its_address_within_15_seconds(
    stack: Stack, state: StackState, name: str
) -> None:
    assert await _kill(stack, state, name) < 15


async def test_etcd_keeps_what_was_written_when_it_is_killed(stack: Stack, state: StackState) -> None:
    store = EtcdStore(state.addresses["etcd"])
    try:
        await store.put("/lepton/test", '{"猫": 1}'.encode())
        await _kill(stack, state, "etcd")
        assert await store.get("/lepton/test") == '{"猫": 1}'.encode()
    finally:
        await store.close()


async def test_etcd_keeps_what_was_written_over_down_and_up(stack: Stack, state: StackState) -> None:
    store = EtcdStore(state.addresses["etcd"])
    await store.put("/lepton/test", b"1")
    await store.close()
    stack.take_down()
    again = stack.bring_up(StackOptions(usual_ports=False, timeout_s=60))
    store = EtcdStore(again.addresses["etcd"])
    try:
        assert await store.get("/lepton/test") == b"1"
    finally:
        await store.close()


def test_the_pid_file_of_triton_holds_the_pid_of_tritonserver_itself(stack: Stack, state: StackState) -> None:
    pid = _read_pid(stack.directory.pid_file("triton"))
    assert Path(f"/proc/{pid}/comm").read_text(encoding="ascii").startswith("tritonserver")


def test_down_leaves_none_of_them(stack: Stack, state: StackState) -> None:
    stack.take_down()
    assert not find_members(state.stack_id)
