"""ONNX models: what is accepted, and what a stranger could try."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lepton_ai.errors import InvalidInput
from lepton_ai.inspection.onnx_model import check_onnx
from tests.sample_packages import onnx_bytes, onnx_model, onnx_package

WEIGHTS = np.array([2.0], dtype=np.float32).tobytes()


def refuse(directory: Path, **options: Any) -> InvalidInput:
    package = onnx_package(directory / "p", **options)
    with pytest.raises(InvalidInput) as caught:
        check_onnx(package)
    assert str(directory) not in str(caught.value), "no paths to clients"
    return caught.value


def test_a_good_model_is_accepted(tmp_path: Path) -> None:
    check_onnx(onnx_package(tmp_path / "p"))


def test_external_data_next_to_the_model_is_accepted(tmp_path: Path) -> None:
    model = onnx_bytes(location="w.data")
    check_onnx(onnx_package(tmp_path / "p", model=model, files={"w.data": WEIGHTS}, weights=["w.data"]))


def test_external_data_below_a_directory_is_accepted_when_both_lie_there(tmp_path: Path) -> None:
    package = onnx_package(
        tmp_path / "p",
        files={"net/m.onnx": onnx_bytes(location="w.data"), "net/w.data": WEIGHTS},
        model=b"",
    )
    moved = package.description.model.model_copy(update={"file": "net/m.onnx", "weights": ("net/w.data",)})
    described = package.description.model_copy(update={"model": moved})
    check_onnx(type(package)(package.directory, described, package.files))


def test_external_data_that_the_description_does_not_name_is_refused(tmp_path: Path) -> None:
    error = refuse(tmp_path, model=onnx_bytes(location="w.data"), files={"w.data": WEIGHTS})
    assert error.reason == "EXTERNAL_DATA"
    assert "model.weights" in error.fix


@pytest.mark.parametrize("content", [b"", b"\0", b"not onnx", random.Random(1).randbytes(4096), b"\x08\x09"])
def test_what_is_not_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    assert refuse(tmp_path, model=content).fields[0].field == "model.file"


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    assert refuse(tmp_path, model=onnx_bytes()[:-20]).fields[0].field == "model.file"


@pytest.mark.parametrize(
    "location",
    ["../w.data", "/etc/passwd", "a/w.data", "./w.data", "..", ".", "", "w.data\0", "a\\w.data", "absent.data",
     "..\\w.data", "file:///etc/passwd", "p/../w.data"],
)  # fmt: skip
def test_external_data_elsewhere_is_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "w.data").write_bytes(WEIGHTS)
    files = {"w.data": WEIGHTS, "a/w.data": WEIGHTS}
    error = refuse(tmp_path, model=onnx_bytes(location=location), files=files, weights=["w.data"])
    assert error.reason == "EXTERNAL_DATA"


def test_external_data_through_a_link_is_refused_even_if_one_were_there(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", model=onnx_bytes(location="w.data"))
    (package.directory / "w.data").symlink_to("/etc/passwd")
    with pytest.raises(InvalidInput) as caught:
        check_onnx(package)
    assert caught.value.reason == "EXTERNAL_DATA"


@pytest.mark.parametrize(
    "external",
    [
        {"length": str(1 << 50)},
        {"length": "-1"},
        {"offset": "5"},
        {"offset": "x"},
        {"length": "9" * 400},
        {"extra": "1"},
    ],
)
def test_external_data_beyond_its_file_is_refused(tmp_path: Path, external: dict[str, str]) -> None:
    model = onnx_bytes(location="w.data", **external)
    error = refuse(tmp_path, model=model, files={"w.data": WEIGHTS}, weights=["w.data"])
    assert error.reason == "EXTERNAL_DATA"


def nested_in_subgraph() -> onnx.ModelProto:
    """External data in a constant inside a branch of an If."""
    outside = onnx_model(location="../w.data").graph.initializer[0]
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["y"], value=outside)],
        "branch",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    condition = numpy_helper.from_array(np.array(True), name="condition")
    graph = helper.make_graph(
        [helper.make_node("If", ["condition"], ["y"], then_branch=branch, else_branch=branch)],
        "nested",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [condition],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_external_data_deep_inside_is_found(tmp_path: Path) -> None:
    error = refuse(tmp_path, model=nested_in_subgraph().SerializeToString())
    assert error.reason == "EXTERNAL_DATA"


def test_a_structurally_wrong_graph_is_refused(tmp_path: Path) -> None:
    model = onnx_model()
    model.graph.node[0].input[1] = "nothing"
    assert "not a valid ONNX model" in refuse(tmp_path, model=model.SerializeToString()).message


def test_custom_operators_are_refused(tmp_path: Path) -> None:
    assert refuse(tmp_path, model=onnx_bytes(domain="evil.ops")).reason == "CUSTOM_OPERATORS"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"inputs": [{"name": "z", "dtype": "FP32", "shape": [-1, 4]}]}, "inputs"),
        ({"inputs": [{"name": "x", "dtype": "FP64", "shape": [-1, 4]}]}, "inputs[0].dtype"),
        ({"inputs": [{"name": "x", "dtype": "FP32", "shape": [-1, 5]}]}, "inputs[0].shape[1]"),
        ({"inputs": [{"name": "x", "dtype": "FP32", "shape": [-1]}]}, "inputs[0].shape"),
        ({"outputs": [{"name": "z", "dtype": "FP32", "shape": [-1, 4]}]}, "outputs[0].name"),
        ({"outputs": [{"name": "y", "dtype": "FP32", "shape": [-1, -1]}]}, "outputs[0].shape[1]"),
    ],
)
def test_a_description_that_is_not_the_models_is_refused(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    error = refuse(tmp_path, **changes)
    assert (error.fields[0].field, error.reason) == (field, "SIGNATURE_MISMATCH")


def test_an_output_without_a_batch_dimension_is_told_how_to_be_declared(tmp_path: Path) -> None:
    error = refuse(tmp_path, outputs=[{"name": "y", "dtype": "FP32", "shape": [-1, -1, 4]}])
    assert error.fields[0].field == "outputs[0].shape" and "batched: false" in error.fix
    output = {"name": "y", "dtype": "FP32", "shape": [-1, -1, 4], "batched": False}
    check_onnx(onnx_package(tmp_path / "one", outputs=[output], max_batch_size=1))
    wrong = onnx_package(tmp_path / "wrong", outputs=[output | {"shape": [-1, -1, 5]}], max_batch_size=1)
    with pytest.raises(InvalidInput) as raised:
        check_onnx(wrong)
    assert raised.value.fields[0].field == "outputs[0].shape[2]"


def test_a_fixed_batch_is_refused_unless_it_is_one_and_so_is_the_limit(tmp_path: Path) -> None:
    assert refuse(tmp_path, model=onnx_bytes(batch=4)).fields[0].field == "inputs[0].shape[0]"
    check_onnx(onnx_package(tmp_path / "one", model=onnx_bytes(batch=1), max_batch_size=1))
