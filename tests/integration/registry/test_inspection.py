"""The inspecting process: what a model does to it stays its own problem."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import onnx
import psutil
import pytest
import torch

from lepton_ai.errors import InvalidInput
from lepton_ai.package import Package
from lepton_ai.testing import eventually
from services.registry.inspection import processes
from tests.integration.conftest import SharedForkServer
from tests.integration.registry.conftest import Inspecting
from tests.integration.registry.harmful import endless
from tests.sample_packages import description, onnx_bytes, onnx_model, onnx_package, torch_package

LABELS = "猫\n狗\n鸟\n鱼\n".encode()


@pytest.fixture(autouse=True)
def fork_servers(shared_fork_server: SharedForkServer) -> None:
    """Each inspection has a server of its own, and no other one runs."""
    shared_fork_server.close()


class Identity(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


async def test_a_good_onnx_package_is_described(tmp_path: Path, inspecting: Inspecting) -> None:
    steps = [{"op": "softmax", "input": "y"}, {"op": "classify", "labels": "标签.txt", "top_k": 2}]
    package = onnx_package(tmp_path / "p", files={"标签.txt": LABELS}, postprocess=steps)
    verdict = await inspecting().inspect(package.directory)
    assert (verdict.digest, verdict.description) == (package.digest, "把四个数乘以二。")


async def test_a_model_that_the_serving_runtime_cannot_open_is_refused(tmp_path: Path, inspecting: Inspecting) -> None:
    model = onnx_model()
    model.opset_import[0].version = onnx.defs.onnx_opset_version() + 5
    package = onnx_package(tmp_path / "p", model=model.SerializeToString())
    with pytest.raises(InvalidInput, match=r"it has opset \d+ of ai.onnx, the serving runtime takes \d+ at most"):
        await inspecting().inspect(package.directory)
    native = inspecting(triton_backend="native")  # has a runtime of its own, which is not here to ask
    assert (await native.inspect(package.directory)).digest == package.digest


async def test_a_good_torch_package_is_described(tmp_path: Path, inspecting: Inspecting) -> None:
    batch = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(Identity(), (torch.zeros(2, 4),), dynamic_shapes=batch), tmp_path / "m.pt2")
    package = torch_package(tmp_path / "p", tmp_path / "m.pt2")
    assert (await inspecting().inspect(package.directory)).digest == package.digest


async def test_errors_come_back_with_all_they_say(tmp_path: Path, inspecting: Inspecting) -> None:
    package = onnx_package(tmp_path / "p", model=onnx_bytes(location="../x"))
    with pytest.raises(InvalidInput) as caught:
        await inspecting().inspect(package.directory)
    assert (caught.value.reason, caught.value.fields[0].field) == ("EXTERNAL_DATA", "model.file")
    assert caught.value.fix


async def test_a_model_that_needs_too_much_memory_is_refused(tmp_path: Path, inspecting: Inspecting) -> None:
    model = onnx_model()
    model.doc_string = "x" * (300 << 20)
    package = onnx_package(tmp_path / "p", model=model.SerializeToString())
    with pytest.raises(InvalidInput) as caught:
        await inspecting(memory_bytes=600 << 20).inspect(package.directory)
    assert caught.value.fields[0].field == "model.file"


async def test_a_package_that_cannot_even_be_read_in_the_memory_there_is_is_refused(
    tmp_path: Path, inspecting: Inspecting
) -> None:
    with pytest.raises(InvalidInput, match="memory"):
        await inspecting(memory_bytes=40 << 20).inspect(onnx_package(tmp_path / "p").directory)


async def test_a_slow_inspection_is_ended(tmp_path: Path, inspecting: Inspecting) -> None:
    with pytest.raises(InvalidInput, match="too long"):
        await inspecting(timeout_s=0.05).inspect(onnx_package(tmp_path / "p").directory)


def fork_server() -> psutil.Process | None:
    running = (child for child in psutil.Process().children() if "services.registry.inspection" in str(child.cmdline()))
    return next(running, None)


async def inspector() -> psutil.Process:
    """Of an inspection that has begun."""

    def find() -> list[psutil.Process]:
        server = fork_server()
        return server.children() if server else []

    children: list[psutil.Process] = await eventually(find, timeout_s=30, description="the inspector runs")
    return children[0]


async def test_a_crash_is_the_models_fault_and_the_next_package_is_fine(tmp_path: Path, inspecting: Inspecting) -> None:
    package, inspection = onnx_package(tmp_path / "p"), inspecting()
    running = asyncio.create_task(inspection.inspect(onnx_package(tmp_path / "q", model=endless()).directory))
    (await inspector()).kill()
    with pytest.raises(InvalidInput) as caught:
        await running
    assert caught.value.reason == "INSPECTION_FAILED"
    assert (await inspection.inspect(package.directory)).digest == package.digest


async def test_a_fork_server_that_is_killed_is_followed_by_another(tmp_path: Path, inspecting: Inspecting) -> None:
    package, inspection = onnx_package(tmp_path / "p"), inspecting()
    await inspection.inspect(package.directory)
    killed = fork_server()
    assert killed is not None
    killed.kill()
    await eventually(lambda: not killed.is_running(), description="it is gone")
    assert (await inspection.inspect(package.directory)).digest == package.digest


async def test_it_ends_its_processes_when_it_is_closed(tmp_path: Path, inspecting: Inspecting) -> None:
    inspection = inspecting()
    await inspection.inspect(onnx_package(tmp_path / "p").directory)
    assert fork_server() is not None
    await inspection.close()
    assert fork_server() is None


async def test_it_ends_its_processes_when_there_is_nothing_to_inspect(
    tmp_path: Path, inspecting: Inspecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_IDLE_S", 0.01)
    package, inspection = onnx_package(tmp_path / "p"), inspecting()
    await inspection.inspect(package.directory)
    await eventually(lambda: fork_server() is None, description="the fork server has ended")
    assert (await inspection.inspect(package.directory)).digest == package.digest


async def test_an_inspection_that_nobody_waits_for_is_ended(tmp_path: Path, inspecting: Inspecting) -> None:
    package = onnx_package(tmp_path / "p", model=endless())
    running = asyncio.create_task(inspecting().inspect(package.directory))
    child = await inspector()
    running.cancel()
    await eventually(lambda: not child.is_running(), description="it is gone")


async def test_inspections_go_on_side_by_side(tmp_path: Path, inspecting: Inspecting) -> None:
    inspection, packages = inspecting(concurrent=3), [onnx_package(tmp_path / str(number)) for number in range(6)]
    verdicts = await asyncio.gather(*(inspection.inspect(package.directory) for package in packages))
    assert [verdict.digest for verdict in verdicts] == [package.digest for package in packages]


def test_the_inspector_gets_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_SECRET", "s3cret")
    assert "s3cret" not in json.dumps(processes._environment())


async def test_the_description_in_the_package_is_what_counts(tmp_path: Path, inspecting: Inspecting) -> None:
    package = onnx_package(tmp_path / "p")
    (package.directory / "lepton.yaml").write_text(json.dumps(description(name="other")), encoding="utf-8")
    verdict = await inspecting().inspect(package.directory)
    assert verdict.digest == Package.read(package.directory).digest != package.digest
