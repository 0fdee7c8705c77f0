"""Shared memory outlives a killed process; that of a stack ends with the stack, and is nobody else's."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from lepton_ai.errors import Unavailable
from lepton_ai.local.processes.lifecycle import Stack, StackOptions
from lepton_ai.local.processes.supervision import find_members
from lepton_ai.local.processes.table import PARTS
from lepton_ai.local.programs.triton import shared_memory_prefix
from lepton_ai.local.stack import StackState
from lepton_ai.mesh.shared_memory import SHARED_MEMORY, create_file
from lepton_ai.testing import eventually
from services.inference.triton.client import Triton
from services.inference.triton.repository import ModelRepository, TritonModel
from tests.integration.inference.test_triton_models import X, Y
from tests.platform import regions_of
from tests.sample_packages import onnx_bytes

_PARTS = tuple(part for part in PARTS if part.name in ("traces", "triton"))
_OPTIONS = StackOptions(usual_ports=False, timeout_s=60)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path / "home", parts=_PARTS)
    yield stack
    stack.take_down()


@pytest.fixture
async def state(stack: Stack, tmp_path: Path) -> AsyncIterator[StackState]:
    """A stack whose Triton runs a model, so that it shares memory with a stub."""
    state = stack.bring_up(_OPTIONS)
    file = tmp_path / "doubler.onnx"
    file.write_bytes(onnx_bytes())
    model = TritonModel("doubler", 1, file, "onnx", [X], [Y], instances=1)
    name = ModelRepository(stack.directory.data / "models-triton").add(model)
    triton = Triton(state.addresses["triton"])

    async def loaded() -> bool:
        with contextlib.suppress(Unavailable):
            await triton.load(name)
            return True
        return False

    try:
        await eventually(loaded, timeout_s=60, description="Triton runs the model")
    finally:
        await triton.close()
    assert regions_of(stack.directory.home)
    yield state


@pytest.fixture
def neighbour(tmp_path: Path) -> Iterator[set[Path]]:
    """Memory of another stack on this machine, and a region that somebody is making."""
    others = SHARED_MEMORY / f"{shared_memory_prefix(tmp_path / 'other')}1"
    others.touch()
    made, descriptor = create_file()
    yield {others, made}
    os.close(descriptor)
    for path in (others, made):
        path.unlink(missing_ok=True)


def _kill(stack_id: str) -> None:
    processes = find_members(stack_id)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=5)


async def test_down_frees_the_memory_of_a_stack_that_was_killed_and_of_no_other(
    stack: Stack, state: StackState, neighbour: set[Path]
) -> None:
    left, descriptor = create_file()  # as by a replica of inference that is killed while it makes a region
    os.close(descriptor)
    _kill(state.stack_id)
    assert regions_of(stack.directory.home), "killed processes leave it"
    stack.take_down()
    assert not regions_of(stack.directory.home)
    assert not left.exists()
    assert all(path.exists() for path in neighbour)


async def test_up_frees_the_memory_of_a_stack_that_was_killed(stack: Stack, state: StackState) -> None:
    before = regions_of(stack.directory.home)
    _kill(state.stack_id)
    stack.bring_up(_OPTIONS)
    assert before.isdisjoint(regions_of(stack.directory.home))


async def test_a_triton_that_is_started_again_frees_what_the_killed_one_left(stack: Stack, state: StackState) -> None:
    before = regions_of(stack.directory.home)
    os.kill(int(stack.directory.pid_file("triton").read_text(encoding="ascii")), signal.SIGKILL)
    await eventually(
        lambda: before.isdisjoint(regions_of(stack.directory.home)), timeout_s=20, description="it is freed"
    )
