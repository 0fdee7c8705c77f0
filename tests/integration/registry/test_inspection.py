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
from lepton_ai.package import Package, PackageLimits
from lepton_ai.testing import eventually
from services.registry.inspection import inspection as inspection_module
from services.registry.inspection.inspection import Inspection, InspectionLimits
from tests.sample_packages import description, onnx_bytes, onnx_model, onnx_package, torch_package

LABELS = "猫\n狗\n鸟\n鱼\n".encode()


class Identity(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


def inspecting(**limits: float) -> Inspection:
    return Inspection(PackageLimits(), InspectionLimits(**limits))  # type: ignore[arg-type]


async def test_a_good_onnx_package_is_described(tmp_path: Path) -> None:
    steps = [{"op": "softmax", "input": "y"}, {"op": "classify", "labels": "标签.txt", "top_k": 2}]
    package = onnx_package(tmp_path / "p", files={"标签.txt": LABELS}, postprocess=steps)
    verdict = await inspecting().inspect(package.directory)
    assert (verdict.digest, verdict.description) == (package.digest, "把四个数乘以二。")


async def test_a_model_that_the_serving_runtime_cannot_open_is_refused(tmp_path: Path) -> None:
    model = onnx_model()
    model.opset_import[0].version = onnx.defs.onnx_opset_version() + 5
    package = onnx_package(tmp_path / "p", model=model.SerializeToString())
    with pytest.raises(InvalidInput, match=r"it has opset \d+ of ai.onnx, the serving runtime takes \d+ at most"):
        await inspecting().inspect(package.directory)
    native = Inspection(PackageLimits(), triton_backend="native")  # has a runtime of its own, which is not here to ask
    assert (await native.inspect(package.directory)).digest == package.digest


async def test_a_good_torch_package_is_described(tmp_path: Path) -> None:
    batch = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(Identity(), (torch.zeros(2, 4),), dynamic_shapes=batch), tmp_path / "m.pt2")
    package = torch_package(tmp_path / "p", tmp_path / "m.pt2")
    assert (await inspecting().inspect(package.directory)).digest == package.digest


async def test_errors_come_back_with_all_they_say(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", model=onnx_bytes(location="../x"))
    with pytest.raises(InvalidInput) as caught:
        await inspecting().inspect(package.directory)
    assert (caught.value.reason, caught.value.fields[0].field) == ("EXTERNAL_DATA", "model.file")
    assert caught.value.fix


async def test_a_model_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    model = onnx_model()
    model.doc_string = "x" * (300 << 20)
    package = onnx_package(tmp_path / "p", model=model.SerializeToString())
    with pytest.raises(InvalidInput) as caught:
        await inspecting(memory_bytes=600 << 20).inspect(package.directory)
    assert caught.value.fields[0].field == "model.file"


async def test_a_package_that_cannot_even_be_read_in_the_memory_there_is_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="memory"):
        await inspecting(memory_bytes=40 << 20).inspect(onnx_package(tmp_path / "p").directory)


async def test_a_slow_inspection_is_ended(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="too long"):
        await inspecting(timeout_s=0.05).inspect(onnx_package(tmp_path / "p").directory)


async def test_a_crash_is_the_models_fault_and_the_next_package_is_fine(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p")
    inspection = inspecting()
    running = asyncio.create_task(inspection.inspect(package.directory))
    child = await eventually(lambda: inspector_of(package.directory), description="the inspector runs")
    assert child is not None
    child.kill()
    with pytest.raises(InvalidInput) as caught:
        await running
    assert caught.value.reason == "INSPECTION_FAILED"
    assert (await inspection.inspect(package.directory)).digest == package.digest


def inspector_of(directory: Path) -> psutil.Process | None:
    found = (child for child in psutil.Process().children() if str(directory) in child.cmdline())
    return next(found, None)


def test_the_inspector_gets_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_SECRET", "s3cret")
    assert "s3cret" not in json.dumps(inspection_module._environment())


async def test_the_description_in_the_package_is_what_counts(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p")
    (package.directory / "lepton.yaml").write_text(json.dumps(description(name="other")), encoding="utf-8")
    verdict = await inspecting().inspect(package.directory)
    assert verdict.digest == Package.read(package.directory).digest != package.digest
