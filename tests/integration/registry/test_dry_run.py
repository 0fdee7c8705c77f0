"""A version answers its golden samples before it is one, in a process that cannot do anything else."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.package import Package
from tests.integration.registry.conftest import Inspecting
from tests.integration.registry.harmful import endless, hungry
from tests.sample_packages import onnx_bytes, onnx_package, torch_package

GOLDEN = [{"inputs": {"x": {"values": [1, 2, 3, 4]}}, "expect": {"outputs": {"y": {"values": [2, 4, 6, 8]}}}}]
WRONG = [{"inputs": {"x": {"values": [1, 2, 3, 4]}}, "expect": {"outputs": {"y": {"values": [2, 4, 6, 9]}}}}]


class Doubled(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


def exported(directory: Path, golden: list[dict[str, Any]]) -> Package:
    batch, file = ({0: torch.export.Dim("batch")},), directory / "m.pt2"
    torch.export.save(torch.export.export(Doubled(), (torch.zeros(2, 4),), dynamic_shapes=batch), file)
    return torch_package(directory / "p", file, golden=golden)


def as_onnx(directory: Path, golden: list[dict[str, Any]]) -> Package:
    return onnx_package(directory / "p", golden=golden)


@pytest.mark.parametrize("package_of", [as_onnx, exported])
async def test_right_golden_samples_pass(
    tmp_path: Path, package_of: Callable[..., Package], inspecting: Inspecting
) -> None:
    verdict = await inspecting(dry_run="required").inspect(package_of(tmp_path, GOLDEN).directory)
    assert verdict.dry_run.startswith("passed: 1 golden sample in ")
    assert verdict.is_isolated


@pytest.mark.parametrize("package_of", [as_onnx, exported])
async def test_wrong_golden_numbers_are_refused(
    tmp_path: Path, package_of: Callable[..., Package], inspecting: Inspecting
) -> None:
    with pytest.raises(InvalidInput, match=r"golden\[0\].*differs by up to 1") as caught:
        await inspecting().inspect(package_of(tmp_path, WRONG).directory)
    assert caught.value.reason == "GOLDEN_MISMATCH"


async def test_without_golden_samples_the_model_must_answer_zeros(tmp_path: Path, inspecting: Inspecting) -> None:
    assert "zeros" in (await inspecting().inspect(onnx_package(tmp_path / "p").directory)).dry_run


async def test_off_means_that_nothing_is_run(tmp_path: Path, inspecting: Inspecting) -> None:
    verdict = await inspecting(dry_run="off").inspect(as_onnx(tmp_path, WRONG).directory)
    assert verdict.dry_run == "skipped (LEPTON_DRY_RUN is off)"


async def test_what_cannot_be_tried_is_said_or_refused(tmp_path: Path, inspecting: Inspecting) -> None:
    package = as_onnx(tmp_path, GOLDEN).directory
    native = inspecting(triton_backend="native")
    assert (await native.inspect(package)).dry_run.startswith("skipped (the replicas run ONNX in Triton's own")
    strict = inspecting(dry_run="required", triton_backend="native")
    with pytest.raises(FailedPrecondition, match="LEPTON_DRY_RUN"):
        await strict.inspect(package)


async def test_a_model_that_never_ends_is_refused(tmp_path: Path, inspecting: Inspecting) -> None:
    package = onnx_package(tmp_path / "p", model=endless())
    with pytest.raises(InvalidInput, match="takes too long"):
        await inspecting(timeout_s=4.0).inspect(package.directory)


async def test_a_model_that_eats_memory_is_refused(tmp_path: Path, inspecting: Inspecting) -> None:
    package = onnx_package(tmp_path / "p", model=hungry())
    with pytest.raises(InvalidInput):
        await inspecting(memory_bytes=2 << 30).inspect(package.directory)


async def test_a_right_model_passes_the_same_limits(tmp_path: Path, inspecting: Inspecting) -> None:
    package = onnx_package(tmp_path / "p", model=onnx_bytes())
    await inspecting(timeout_s=30.0, memory_bytes=2 << 30).inspect(package.directory)


EVIL = {
    "opens a socket": "socket.create_connection(('127.0.0.1', PORT), 1)",
    "opens a local socket": "socket.socketpair()",
    "forks": "os.fork()",
    "starts a program": "subprocess.run(['true'])",
    "writes a file": "open('written', 'w')",
    "appends to a file": "open('victim', 'a')",
    "empties a file": "os.truncate('victim', 0)",
    "deletes a file": "os.unlink('victim')",
    "renames a file": "os.rename('victim', 'gone')",
    "links a file": "os.link('victim', 'linked')",
    "changes rights": "os.chmod('victim', 0o777)",
    "changes times": "os.utime('victim', (0, 0))",
    "kills its parent": "os.kill(os.getppid(), 9)",
    "kills by handle": "signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 9)",
    "raises its limits": "resource.prlimit(os.getppid(), resource.RLIMIT_AS, (1, 1))",
}


@pytest.mark.parametrize("evil", EVIL)
async def test_a_process_that_inspects_cannot_do_it(tmp_path: Path, evil: str) -> None:
    (tmp_path / "victim").write_text("whole", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = EVIL[evil].replace("PORT", str(server.getsockname()[1]))
        assert await run_confined(tmp_path, command) == "refused"
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert os.listdir(tmp_path) == ["victim"]  # noqa: PTH208 - no pathlib in async code
    assert (tmp_path / "victim").read_text(encoding="utf-8") == "whole"


async def test_what_the_libraries_need_is_allowed(tmp_path: Path) -> None:
    threads = "(t := threading.Thread(target=print)).start(), t.join(), __import__('numpy').ones(3).sum()"
    assert await run_confined(tmp_path, threads) == "done"


async def run_confined(directory: Path, expression: str) -> str:
    """ "refused" or "done"; anything else is what went wrong."""
    program = f"""
import os, resource, signal, socket, subprocess, sys, threading
sys.path.insert(0, {str(Path.cwd())!r})
from services.registry.inspection.confinement import isolate, limit
limit(timeout_s=20, memory_bytes=4 << 30)
assert isolate() == ""
try:
    {expression}
except OSError:
    print("refused")
else:
    print("done")
"""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-B", "-c", program), cwd=directory, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    return output.decode().strip()


async def test_a_fork_bomb_makes_no_process(tmp_path: Path) -> None:
    bomb = "[os.fork() for _ in range(1000)]"
    assert await run_confined(tmp_path, bomb) == "refused"
