"""Answers may not be kept of a model that draws random numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from lepton_ai.errors import InvalidInput
from lepton_ai.inspection.onnx_model import check_onnx
from lepton_ai.inspection.torch_archive import check_torch_export
from tests.sample_packages import onnx_package, torch_package

KEPT: dict[str, Any] = {"cache": {"answers": True}}


def noisy_onnx() -> bytes:
    """y = noise of the shape of x."""
    graph = helper.make_graph(
        [helper.make_node("RandomNormalLike", ["x"], ["y"], seed=1.0)],
        "noise",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()


class Noisy(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.randn_like(x)


class Dropped(torch.nn.Module):
    """Dropout that is off, as in every model exported for serving."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dropped: torch.Tensor = self.dropout(x) * 2
        return dropped


def exported(module: torch.nn.Module, path: Path) -> Path:
    batch = torch.export.Dim("batch")
    torch.export.save(torch.export.export(module.eval(), (torch.ones(2, 4),), dynamic_shapes=({0: batch},)), path)
    return path


def test_an_onnx_model_with_random_numbers_is_refused_when_its_answers_may_be_kept(tmp_path: Path) -> None:
    check_onnx(onnx_package(tmp_path / "unkept", model=noisy_onnx()))
    with pytest.raises(InvalidInput, match="RandomNormalLike") as refused:
        check_onnx(onnx_package(tmp_path / "kept", model=noisy_onnx(), **KEPT))
    assert refused.value.fields[0].field == "cache.answers"
    check_onnx(onnx_package(tmp_path / "fine", **KEPT))


def test_a_program_with_random_numbers_is_refused_when_its_answers_may_be_kept(tmp_path: Path) -> None:
    outputs = [{"name": "output", "dtype": "FP32", "shape": [-1, 4]}]
    noisy, fine = (exported(each, tmp_path / f"{type(each).__name__}.pt2") for each in (Noisy(), Dropped()))
    check_torch_export(torch_package(tmp_path / "unkept", noisy, outputs=outputs))
    with pytest.raises(InvalidInput, match="randn_like") as refused:
        check_torch_export(torch_package(tmp_path / "kept", noisy, outputs=outputs, **KEPT))
    assert refused.value.fields[0].field == "cache.answers"
    check_torch_export(torch_package(tmp_path / "fine", fine, outputs=outputs, **KEPT))
