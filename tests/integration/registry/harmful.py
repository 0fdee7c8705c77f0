"""Models that harm whoever runs them without bounds."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_SCALARS = (("i", TensorProto.INT64), ("go", TensorProto.BOOL), ("more", TensorProto.BOOL))


def endless() -> bytes:
    """y = 2 · x after 2^62 rounds of a loop."""
    nodes = [helper.make_node("Identity", ["go"], ["more"]), helper.make_node("Mul", ["v", "one"], ["w"])]
    count, go, more = (helper.make_tensor_value_info(*each, []) for each in _SCALARS)
    before, after = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("v", "w"))
    body = helper.make_graph(nodes, "body", [count, go, before], [more, after])
    return _model_of([helper.make_node("Loop", ["times", "true", "x"], ["y"], body=body)])


def hungry() -> bytes:
    """y = x + the sum of a hundred gigabytes of zeros."""
    return _model_of(
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


def _model_of(nodes: list[onnx.NodeProto]) -> bytes:
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
