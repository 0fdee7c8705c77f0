"""Normalisation of byte inputs fused into the first quantised layer, which takes the bytes as they are.

A network that begins with (image − 127) / 128 and then quantises the result computes floats only to make bytes of them
again. With scale 1/128 and zero point 127 those bytes are the picture's own: nothing is left to do. A zero point that
is no whole number, as that of x / 127.5 − 1, is rounded: values move by half a step at most, as they do when they are
quantised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

_AFFINE = ("Sub", "Add", "Mul", "Div")
_MOST_STEPS = 6


@dataclass
class _Graph:
    """A graph with its nodes by what they make, and its constants."""

    graph: onnx.GraphProto
    makers: Mapping[str, onnx.NodeProto]
    constants: Mapping[str, onnx.TensorProto]

    @classmethod
    def of(cls, graph: onnx.GraphProto) -> _Graph:
        makers = {name: node for node in graph.node for name in node.output}
        constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                constants[node.output[0]] = node.attribute[0].t
        return cls(graph, makers, constants)

    def number(self, name: str) -> float | None:
        """A constant that is one number."""
        tensor = self.constants.get(name)
        if tensor is None:
            return None
        array = numpy_helper.to_array(tensor)
        return float(array.reshape(())) if array.size == 1 else None


def fuse_normalisation(path: Path) -> int:
    """Rewrite a quantised ONNX file in place; the number of inputs for which there was something to fuse."""
    model = onnx.load(str(path))
    graph = _Graph.of(model.graph)
    fused = sum(_fuse(graph, node) for node in list(model.graph.node) if node.op_type == "QuantizeLinear")
    if fused:
        _drop_unused(model.graph)
        onnx.save(model, str(path))
    return fused


def _fuse(graph: _Graph, quantize: onnx.NodeProto) -> bool:
    """Let what dequantises this node's bytes take those that a cast made floats of, where that is the same."""
    source, scale, shift = quantize.input[0], 1.0, 0.0  # value = scale · byte + shift, from the end backwards
    for _ in range(_MOST_STEPS):
        node = graph.makers.get(source)
        if node is None:
            return False
        if node.op_type == "Cast":
            return _connect(graph, quantize, node.input[0], scale, shift)
        step = _affine(graph, node)
        if step is None:
            return False
        factor, summand = step
        scale, shift = scale * factor, shift + scale * summand
        source = node.input[0]
    return False


def _affine(graph: _Graph, node: onnx.NodeProto) -> tuple[float, float] | None:
    """The node as factor · x + summand of its first input."""
    if node.op_type not in _AFFINE:
        return None
    number = graph.number(node.input[1])
    if number is None or (node.op_type == "Div" and number == 0):
        return None
    return {"Sub": (1.0, -number), "Add": (1.0, number), "Mul": (number, 0.0), "Div": (1 / (number or 1), 0.0)}[
        node.op_type
    ]


def _connect(graph: _Graph, quantize: onnx.NodeProto, source: str, scale: float, shift: float) -> bool:
    zero = -shift / scale if scale > 0 else -1.0
    if not _is_bytes(graph, source) or not 0 <= round(zero) <= 255:
        return False
    users = [node for node in graph.graph.node if quantize.output[0] in node.input]
    if not all(node.op_type == "DequantizeLinear" for node in users):
        return False
    names = f"{source}_fused_scale", f"{source}_fused_zero_point"
    values = np.float32(scale), np.uint8(round(zero))
    graph.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for value, name in zip(values, names, strict=True)
    )
    for node in users:
        node.input[:] = [source, *names]
    return True


def _is_bytes(graph: _Graph, name: str) -> bool:
    """Whether a tensor is an input of bytes, moved about at most."""
    while (node := graph.makers.get(name)) is not None and node.op_type in ("Transpose", "Reshape", "Unsqueeze"):
        name = node.input[0]
    types = {value.name: value.type.tensor_type.elem_type for value in graph.graph.input}
    return types.get(name) == onnx.TensorProto.UINT8


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes and constants that lead to no output."""
    wanted = {value.name for value in graph.output}
    for node in reversed(list(graph.node)):  # nodes stand in the order of their use
        if wanted.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            wanted.update(node.input)
            wanted.update(_captured(node))
    for tensor in [each for each in graph.initializer if each.name not in wanted]:
        graph.initializer.remove(tensor)


def _captured(node: onnx.NodeProto) -> set[str]:
    """Names that graphs inside a node may take from outside."""
    inner = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return {name for graph in inner for each in graph.node for name in (*each.input, *_captured(each))}
