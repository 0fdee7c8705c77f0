"""Exported repositories answer in a tritonserver that has nothing of Lepton but them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import torch
from onnx import TensorProto, helper
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient

from lepton_ai.interchange.recognition import init_package
from lepton_ai.interchange.triton_export import write_triton_repository
from lepton_ai.package import Package
from lepton_ai.testing.running_triton import LocalTriton, running_triton
from tests.sample_packages import onnx_bytes, onnx_package, torch_package

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)


class Doubler(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def triton(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalTriton]:
    async with running_triton(tmp_path_factory.mktemp("triton")) as server:
        yield server


async def answer(triton: LocalTriton, repository: Path, name: str, rows: Any) -> Any:
    """Put a repository's model into Triton's, and ask Triton's own client."""
    (repository / name).rename(triton.model_repository / name)
    async with InferenceServerClient(triton.address) as client:
        await client.load_model(name)
        given = InferInput("x", rows.shape, "FP32")
        given.set_data_from_numpy(rows)
        result = await client.infer(name, [given], client_timeout=10)
    return result.as_numpy("y")


async def test_onnx(triton: LocalTriton, tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", name="plain")
    write_triton_repository(package, tmp_path / "models", version=3)
    assert "digest `" + package.digest in (tmp_path / "models/README.md").read_text(encoding="utf-8")
    np.testing.assert_array_equal(await answer(triton, tmp_path / "models", "plain", ROWS), ROWS * 2)


async def test_onnx_with_weights_in_a_file_of_their_own(triton: LocalTriton, tmp_path: Path) -> None:
    files = {"w.data": np.float32(3).tobytes()}
    model = onnx_bytes(location="w.data")
    package = onnx_package(tmp_path / "p", name="external", model=model, files=files, weights=["w.data"])
    write_triton_repository(package, tmp_path / "models")
    np.testing.assert_array_equal(await answer(triton, tmp_path / "models", "external", ROWS), ROWS * 3)


async def test_one_row_at_a_time(triton: LocalTriton, tmp_path: Path) -> None:
    write_triton_repository(onnx_package(tmp_path / "p", name="single", max_batch_size=1), tmp_path / "models")
    np.testing.assert_array_equal(await answer(triton, tmp_path / "models", "single", ROWS[:1]), ROWS[:1] * 2)


async def test_one_number_a_row_has_no_dimension_but_the_batch(triton: LocalTriton, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    specs: dict[str, Any] = {
        f"{kind}s": [{"name": name, "dtype": "FP32", "shape": [-1]}] for kind, name in (("input", "x"), ("output", "y"))
    }
    package = onnx_package(tmp_path / "p", name="scalars", model=model.SerializeToString(), **specs)
    write_triton_repository(package, tmp_path / "models")
    rows = np.array([[1.5], [2.5], [3.5]], dtype=np.float32)  # Triton's clients see such a row as [1]
    np.testing.assert_array_equal(await answer(triton, tmp_path / "models", "scalars", rows), rows)


async def test_torch_export(triton: LocalTriton, tmp_path: Path) -> None:
    batch = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(Doubler(), (torch.zeros(2, 4),), dynamic_shapes=batch), tmp_path / "m.pt2")
    write_triton_repository(torch_package(tmp_path / "p", tmp_path / "m.pt2", name="exported"), tmp_path / "models")
    np.testing.assert_array_equal(await answer(triton, tmp_path / "models", "exported", ROWS), ROWS * 2)


async def test_a_failing_call_leaves_the_next_alone(triton: LocalTriton, tmp_path: Path) -> None:
    write_triton_repository(onnx_package(tmp_path / "p", name="sturdy", max_batch_size=1), tmp_path / "models")
    await answer(triton, tmp_path / "models", "sturdy", ROWS[:1])
    async with InferenceServerClient(triton.address) as client:
        for _ in range(2):
            given = InferInput("x", [1, 4], "FP32")
            given.set_data_from_numpy(ROWS[:1])
            assert (await client.infer("sturdy", [given])).as_numpy("y") is not None


async def test_what_is_exported_can_be_brought_in_again(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", max_batch_size=4)
    write_triton_repository(package, tmp_path / "models")
    again: Package = init_package(tmp_path / "models", tmp_path / "again")
    assert again.description.inputs == package.description.inputs
    assert again.description.max_batch_size == 4
