"""Constants and shapes are computed once, and answers stay the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lepton_ai.errors import InvalidInput
from lepton_ai.optimize.graph.folding import fold
from lepton_ai.optimize.measure.cpu import this_cpu
from lepton_ai.optimize.measure.engines import open_onnx
from lepton_ai.optimize.methods import Workpiece
from lepton_ai.optimize.rows import Rows


def write_model(path: Path) -> Path:
    """y = x · (2 + 3) + the number of columns of x, whose rows and columns are both free."""
    constants = [
        numpy_helper.from_array(np.array(value, dtype=kind), name)
        for name, value, kind in (("two", 2, np.float32), ("three", 3, np.float32), ("one", [1], np.int64))
    ]
    nodes = [
        helper.make_node("Add", ["two", "three"], ["five"]),
        helper.make_node("Mul", ["x", "five"], ["scaled"]),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "one"], ["columns"]),
        helper.make_node("Cast", ["columns"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["scaled", "number"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", "columns"]) for name in "xy"]
    graph = helper.make_graph(nodes, "folding", values[:1], values[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return path


@pytest.mark.parametrize(
    ("shape", "sizes", "operators"),
    [
        ((-1, -1), ["rows", "columns"], {"Mul", "Add", "Shape", "Gather", "Cast"}),
        ((-1, 4), ["rows", 4], {"Mul", "Add", "Shape", "Gather", "Cast"}),
        ((3, 4), [3, 4], {"Mul", "Add"}),
    ],
    ids=["both sides free", "rows free", "fixed"],
)
def test_what_is_the_same_every_time_is_computed_once(
    tmp_path: Path, shape: tuple[int, int], sizes: list[str | int], operators: set[str]
) -> None:
    source, target = write_model(tmp_path / "source.onnx"), tmp_path / "folded.onnx"
    fold(source, target, Workpiece(Rows({}), this_cpu(), 0.005, shapes={"x": shape}), {})
    folded = onnx.load(str(target)).graph
    assert {node.op_type for node in folded.node} == operators and len(folded.node) == len(operators)
    dimensions = folded.input[0].type.tensor_type.shape.dim
    assert [each.dim_param or each.dim_value for each in dimensions] == sizes
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    for path in (source, target):
        np.testing.assert_allclose(open_onnx(path, threads=1)({"x": rows})[0], rows * 5 + 4)


def test_a_model_that_does_not_open_is_refused(tmp_path: Path) -> None:
    model = onnx.load(str(write_model(tmp_path / "source.onnx")))
    model.graph.node[1].op_type = "Unheard"
    onnx.save(model, str(tmp_path / "broken.onnx"))
    with pytest.raises(InvalidInput, match="cannot be folded"):
        fold(tmp_path / "broken.onnx", tmp_path / "folded.onnx", Workpiece(Rows({}), this_cpu(), 0.005), {})
