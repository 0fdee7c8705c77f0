"""Weights stored in fewer bits and made floats of again when the model is loaded: as fast as before, and smaller.

Only what is stored changes, so every processor may run it, and answers differ by the rounding of weights alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lepton_ai.errors import InvalidInput
from lepton_ai.optimize.candidate import Value
from lepton_ai.optimize.methods import Workpiece
from lepton_ai.tensors import Array

_LEAST_VALUES = 1024
"""Smaller ones take no room and matter much."""
_LARGEST_INT8 = 127


def store_halves(source: Path, target: Path, piece: Workpiece, parameters: Mapping[str, Value]) -> None:
    """Write `source` with its large weights as `type`: "fp16", or "bf16", which has the range of FP32."""
    wanted = str(parameters.get("type", "fp16"))
    types = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
    if wanted not in types:
        raise InvalidInput.of_field("type", f"there is no {wanted!r}", fix="There are fp16, bf16.")

    def stored(tensor: TensorProto) -> list[onnx.NodeProto | TensorProto]:
        array, name = numpy_helper.to_array(tensor), f"{tensor.name}_{wanted}"
        if wanted == "fp16":
            half = numpy_helper.from_array(array.astype(np.float16), name)
        else:
            half = helper.make_tensor(name, TensorProto.BFLOAT16, array.shape, _bfloat16(array).tobytes(), raw=True)
        return [half, helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT)]

    _store(source, target, stored)


def store_bytes(source: Path, target: Path, piece: Workpiece, parameters: Mapping[str, Value]) -> None:
    """Write `source` with its large weights as int8, with a scale for each slice of the first dimension."""

    def stored(tensor: TensorProto) -> list[onnx.NodeProto | TensorProto]:
        array = numpy_helper.to_array(tensor)
        rest = tuple(range(1, array.ndim))
        scales = np.maximum(np.abs(array).max(axis=rest, keepdims=True), np.finfo(np.float32).tiny) / _LARGEST_INT8
        whole, names = np.rint(array / scales).astype(np.int8), (f"{tensor.name}_int8", f"{tensor.name}_scale")
        return [
            numpy_helper.from_array(whole, names[0]),
            numpy_helper.from_array(scales.astype(np.float32), names[1]),
            helper.make_node("Cast", [names[0]], [f"{names[0]}_float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{names[0]}_float", names[1]], [tensor.name]),
        ]

    _store(source, target, stored)


def _store(source: Path, target: Path, stored: Callable[[TensorProto], list[onnx.NodeProto | TensorProto]]) -> None:
    """Write a model with every large weight as `stored` gives it: constants, and the nodes that make floats of them.

    Runtimes fold those when they load the model. Raises InvalidInput for a model without large weights.
    """
    model = onnx.load(str(source))
    large = [tensor for tensor in model.graph.initializer if _is_large(tensor)]
    if not large:
        raise InvalidInput("This model has no large weights.", reason="NOTHING_TO_STORE")
    nodes = []
    for tensor in large:
        for part in stored(tensor):
            if isinstance(part, TensorProto):
                model.graph.initializer.append(part)
            else:
                nodes.append(part)
        model.graph.initializer.remove(tensor)
    others = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *others])
    onnx.save(model, str(target))


def _is_large(tensor: TensorProto) -> bool:
    count = int(np.prod(list(tensor.dims), dtype=np.int64))
    return tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1 and count >= _LEAST_VALUES


def _bfloat16(array: Array) -> Array:
    """The upper halves of 32-bit floats, rounded to the nearest, ties to even."""
    bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
