"""A version answers its golden samples before it is one, in a process that cannot do anything else."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.package import Package, PackageLimits
from services.registry.inspection.inspection import DryRunPolicy, Inspection, InspectionLimits
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


def inspecting(policy: DryRunPolicy = "when_possible", **limits: float) -> Inspection:
    return Inspection(PackageLimits(), InspectionLimits(**limits), dry_run=policy)  # type: ignore[arg-type]


@pytest.mark.parametrize("package_of", [as_onnx, exported])
async def test_right_golden_samples_pass(tmp_path: Path, package_of: Callable[..., Package]) -> None:
    verdict = await inspecting("required").inspect(package_of(tmp_path, GOLDEN).directory)
    assert verdict.dry_run.startswith("passed: 1 golden sample in ")
    assert verdict.is_isolated


@pytest.mark.parametrize("package_of", [as_onnx, exported])
async def test_wrong_golden_numbers_are_refused(tmp_path: Path, package_of: Callable[..., Package]) -> None:
    with pytest.raises(InvalidInput, match=r"golden\[0\].*differs by up to 1") as caught:
        await inspecting().inspect(package_of(tmp_path, WRONG).directory)
    assert caught.value.reason == "GOLDEN_MISMATCH"


async def test_without_golden_samples_the_model_must_answer_zeros(tmp_path: Path) -> None:
    assert "zeros" in (await inspecting().inspect(onnx_package(tmp_path / "p").directory)).dry_run


async def test_off_means_that_nothing_is_run(tmp_path: Path) -> None:
    verdict = await inspecting("off").inspect(as_onnx(tmp_path, WRONG).directory)
    assert verdict.dry_run == "skipped (LEPTON_DRY_RUN is off)"


async def test_what_cannot_be_tried_is_said_or_refused(tmp_path: Path) -> None:
    package = as_onnx(tmp_path, GOLDEN).directory
    native = Inspection(PackageLimits(), triton_backend="native")
    assert (await native.inspect(package)).dry_run.startswith("skipped (the replicas run ONNX in Triton's own")
    strict = Inspection(PackageLimits(), triton_backend="native", dry_run="required")
    with pytest.raises(FailedPrecondition, match="LEPTON_DRY_RUN"):
        await strict.inspect(package)


SCALARS = (("i", TensorProto.INT64), ("go", TensorProto.BOOL), ("more", TensorProto.BOOL))


def endless() -> bytes:
    """y = 2 · x after 2^62 rounds of a loop."""
    nodes = [helper.make_node("Identity", ["go"], ["more"]), helper.make_node("Mul", ["v", "one"], ["w"])]
    count, go, more = (helper.make_tensor_value_info(*each, []) for each in SCALARS)
    before, after = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("v", "w"))
    body = helper.make_graph(nodes, "body", [count, go, before], [more, after])
    return model_of([helper.make_node("Loop", ["times", "true", "x"], ["y"], body=body)])


def hungry() -> bytes:
    """y = x + the sum of a hundred gigabytes of zeros."""
    return model_of(
        [
            helper.make_node("Mul", ["x", "large"], ["sized"]),
            helper.make_node("ReduceSum", ["sized"], ["sum"], keepdims=0),
            helper.make_node("Cast", ["sum"], ["none"], to=TensorProto.INT64),
            helper.make_node("Add", ["none", "size"], ["shape"]),
            helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
            helper.make_node("ReduceSum", ["zeros"], ["total"], keepdims=0),
            helper.make_node("Add", ["x", "total"], ["y"]),
        ]
    )


def model_of(nodes: list[onnx.NodeProto]) -> bytes:
    values = {"times": np.array(1 << 62), "true": np.array(True), "one": np.array(1, np.float32)}
    values |= {"large": np.array(0, np.float32), "size": np.array([25 << 30])}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()


async def test_a_model_that_never_ends_is_refused(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", model=endless())
    with pytest.raises(InvalidInput, match="takes too long"):
        await inspecting(timeout_s=4.0).inspect(package.directory)


async def test_a_model_that_eats_memory_is_refused(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", model=hungry())
    with pytest.raises(InvalidInput):
        await inspecting(memory_bytes=2 << 30).inspect(package.directory)


async def test_a_right_model_passes_the_same_limits(tmp_path: Path) -> None:
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
