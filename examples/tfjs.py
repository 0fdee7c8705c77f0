"""TensorFlow.js graph models as ONNX: read model.json with its weights, and rebuild the few operations they use here.

Pictures are [N, height, width, channels] in TensorFlow and [N, channels, height, width] in ONNX, so every axis and
every weight is turned.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper

Node = Mapping[str, Any]
Values = npt.NDArray[Any]

_SIMPLE = {"Add": "Add", "AddV2": "Add", "Mul": "Mul", "Relu": "Relu", "Sigmoid": "Sigmoid", "Identity": "Identity"}
_AXIS_IN_ONNX = {0: 0, 1: 2, 2: 3, 3: 1, -1: 1}


class GraphModel:
    """The nodes and the weights of a graph model, by name."""

    def __init__(self, path: Path) -> None:
        document = json.loads(path.read_text(encoding="utf-8"))
        self.nodes: dict[str, Node] = {node["name"]: node for node in document["modelTopology"]["node"]}
        self.weights: dict[str, Values] = {}
        for group in document["weightsManifest"]:
            self._read_weights(group["weights"], b"".join((path.parent / name).read_bytes() for name in group["paths"]))

    def _read_weights(self, entries: list[Node], content: bytes) -> None:
        offset = 0
        for entry in entries:
            stored = np.dtype(entry.get("quantization", entry)["dtype"]).newbyteorder("<")
            count = math.prod(entry["shape"])
            values = np.frombuffer(content, stored, count, offset).reshape(entry["shape"])
            self.weights[entry["name"]] = values.astype(entry["dtype"])
            offset += count * stored.itemsize


class OnnxGraph:
    """An ONNX graph that grows: first what a graph model computes, then what comes behind it."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self._names: dict[str, str] = {}

    def constant(self, values: Values, name: str = "") -> str:
        """The name of a weight."""
        name = name or f"constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """The name of what an operation makes."""
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def compute(self, model: GraphModel, inputs: Mapping[str, str], name: str) -> str:
        """The name here of what the model's node of that name makes; `inputs` are those of the model's placeholders."""
        if name in inputs:
            return inputs[name]
        if name not in self._names:
            node = model.nodes[name]
            self._names[name] = self._converted(model, node, lambda needed: self.compute(model, inputs, needed))
        return self._names[name]

    def _converted(self, model: GraphModel, node: Node, compute: Callable[[str], str]) -> str:
        kind, given = node["op"], node.get("input", [])
        match kind:
            case "Const":
                return self.constant(_turned(model.weights[node["name"]]), node["name"])
            case "Conv2D" | "_FusedConv2D" | "DepthwiseConv2dNative" | "FusedDepthwiseConv2dNative":
                return self._convolution(model, node, compute(given[0]))
            case "Relu6":
                low, high = self.constant(np.array(0, np.float32)), self.constant(np.array(6, np.float32))
                return self.add("Clip", compute(given[0]), low, high)
            case "Mean":
                axes = np.array([_AXIS_IN_ONNX[int(axis)] for axis in np.atleast_1d(model.weights[given[1]])])
                return self.add("ReduceMean", compute(given[0]), self.constant(axes), keepdims=1)
            case "ConcatV2":
                axis = _AXIS_IN_ONNX[int(model.weights[given[-1]])]
                return self.add("Concat", *map(compute, given[:-1]), axis=axis)
            case "ResizeBilinear":
                sizes = self.constant(model.weights[given[1]].astype(np.int64))
                return self.add(
                    "Resize", compute(given[0]), "", "", sizes, axes=[2, 3], mode="linear",
                    coordinate_transformation_mode=_coordinates(node),
                )  # fmt: skip
        if kind not in _SIMPLE:
            raise SystemExit(f"The operation {kind} of {node['name']} is not converted here.")
        return self.add(_SIMPLE[kind], *map(compute, given))

    def _convolution(self, model: GraphModel, node: Node, picture: str) -> str:
        weights = model.weights[node["input"][1]]
        if "Depthwise" in node["op"]:  # [height, width, channels, 1]
            turned, group = weights.transpose(2, 3, 0, 1), weights.shape[2]
        else:  # [height, width, channels, filters]
            turned, group = weights.transpose(3, 2, 0, 1), 1
        fused = [_text(each) for each in node["attr"].get("fused_ops", {}).get("list", {}).get("s", [])]
        inputs = [picture, self.constant(turned)]
        if "BiasAdd" in fused:
            inputs.append(self.constant(model.weights[node["input"][2]]))
        padding = _text(node["attr"]["padding"]["s"])
        strides = [int(each) for each in node["attr"]["strides"]["list"]["i"][1:3]]
        auto_pad = "SAME_UPPER" if padding == "SAME" else padding
        made = self.add("Conv", *inputs, group=group, strides=strides, auto_pad=auto_pad)
        return self.add("Relu", made) if "Relu" in fused else made


def _turned(values: Values) -> Values:
    """A constant that is added or multiplied: one value a channel where it has an axis."""
    return values.reshape(1, -1, 1, 1) if values.ndim else values


def _coordinates(node: Node) -> str:
    flags = {name: node["attr"][name]["b"] for name in ("align_corners", "half_pixel_centers")}
    if flags["align_corners"]:
        return "align_corners"
    return "half_pixel" if flags["half_pixel_centers"] else "asymmetric"


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()
