"""Dry runs: a package is tried on this machine with the pipeline, model, postprocessing and verdict of the platform."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

from lepton_ai.errors import InvalidInput
from lepton_ai.inspection.dry_run import DryRun, check_answers
from lepton_ai.package import Package
from tests.sample_packages import onnx_package, torch_package

RIGHT = {"inputs": {"x": {"values": [1, 2, 3, 4]}}, "expect": {"outputs": {"y": {"values": [2, 4, 6, 8]}}}}
WRONG = {"inputs": {"x": {"values": [1, 2, 3, 4]}}, "expect": {"outputs": {"y": {"values": [2, 4, 6, 9]}}}}
LABELS: list[dict[str, Any]] = [{"op": "softmax", "input": "y"}, {"op": "classify", "labels": "标签.txt", "top_k": 1}]


class Doubler(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


def red_picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 20), (255, 0, 0)).save(file, "PNG")
    return file.getvalue()


def problems(package: Package) -> dict[str, str]:
    return {tried.sample: tried.problem for tried in DryRun(package).try_samples()}


def test_golden_samples_that_come_out_as_the_package_says_have_no_problem(tmp_path: Path) -> None:
    assert problems(onnx_package(tmp_path / "p", golden=[RIGHT])) == {"golden[0]": "", "batch": ""}


def test_a_wrong_answer_is_named_with_its_sample(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", golden=[RIGHT, WRONG])
    assert problems(package)["golden[1]"].startswith(
        "output 'y' is not what the package expects: it differs by up to 1"
    )
    with pytest.raises(InvalidInput) as caught:
        check_answers(package)
    assert (caught.value.reason, caught.value.fields[0].field) == ("GOLDEN_MISMATCH", "golden[1]")


def test_without_golden_samples_zeros_must_be_answered(tmp_path: Path) -> None:
    assert problems(onnx_package(tmp_path / "p")) == {"zeros": "", "batch": ""}


@pytest.mark.parametrize(("label", "right"), [("鱼", True), ("猫", False)])
def test_postprocessing_names_the_label(tmp_path: Path, label: str, *, right: bool) -> None:
    sample = {"inputs": {"x": {"values": [1, 2, 3, 4]}}, "expect": {"label": label}}
    labels = {"标签.txt": "猫\n狗\n鸟\n鱼\n".encode()}
    package = onnx_package(tmp_path / "p", files=labels, postprocess=LABELS, golden=[sample])
    assert (problems(package)["golden[0]"] == "") is right


def test_a_picture_goes_through_the_pipeline_first(tmp_path: Path) -> None:
    shape: list[str | int | None] = ["batch", 8, 8, 3]
    node = helper.make_node("Identity", ["image"], ["y"])
    graph = helper.make_graph(
        [node],
        "same",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    steps = [
        {"op": "decode_image", "input": "photo"},
        {"op": "resize", "size": [8, 8]},
        {"op": "to_tensor", "output": "image", "dtype": "UINT8", "layout": "HWC"},
    ]
    red = np.full((8, 8, 3), (255, 0, 0)).tolist()
    package = onnx_package(
        tmp_path / "p",
        model=model.SerializeToString(),
        files={"red.png": red_picture()},
        inputs=[{"name": "image", "dtype": "UINT8", "shape": [-1, 8, 8, 3]}],
        outputs=[{"name": "y", "dtype": "UINT8", "shape": [-1, 8, 8, 3]}],
        preprocess={"inputs": {"photo": "image"}, "steps": steps},
        golden=[{"inputs": {"photo": "red.png"}, "expect": {"outputs": {"y": {"values": red}}}}],
    )
    assert problems(package) == {"golden[0]": "", "batch": ""}


def test_torch_export_is_run_as_well(tmp_path: Path) -> None:
    batch = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(Doubler(), (torch.zeros(2, 4),), dynamic_shapes=batch), tmp_path / "m.pt2")
    package = torch_package(tmp_path / "p", tmp_path / "m.pt2", golden=[RIGHT])
    assert problems(package) == {"golden[0]": "", "batch": ""}


def test_an_output_of_another_type_than_the_package_says_is_a_problem(tmp_path: Path) -> None:
    output = [{"name": "y", "dtype": "FP64", "shape": [-1, 4]}]
    assert problems(onnx_package(tmp_path / "p", outputs=output))["zeros"] == (
        "outputs[0].dtype: is FP64 here and FP32 when it runs"
    )


def test_a_model_that_its_runtime_cannot_open_is_refused_without_naming_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        DryRun(onnx_package(tmp_path / "p", model=b"\x08\x09 no model"))
    assert caught.value.reason == "RUNTIME_REFUSES" and str(tmp_path) not in str(caught.value)
