"""4-bit weights of large dense layers, a scale for each block of 32, by ONNX Runtime's MatMulNBits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from lepton_ai.errors import InvalidInput
from lepton_ai.optimize.candidate import Value
from lepton_ai.optimize.graph.tidy import graphs_of
from lepton_ai.optimize.methods import Workpiece
from lepton_ai.optimize.quantize.static import quiet

_BLOCK = 32
_ACCURACY_INT8 = 4
"""Of the runtime's levels the one that multiplies in 8 bits."""


def quantize(source: Path, target: Path, piece: Workpiece, parameters: Mapping[str, Value]) -> None:
    """Write `source` with the weights of its dense layers in 4 bits. Raises InvalidInput for a model without any."""
    model = onnx.load(str(source))
    _split_gemms(model)
    quantizer = MatMulNBitsQuantizer(model, block_size=_BLOCK, is_symmetric=True, accuracy_level=_ACCURACY_INT8)
    with quiet():
        quantizer.process()
    if not any(node.op_type == "MatMulNBits" for node in quantizer.model.model.graph.node):
        raise InvalidInput("This model has no dense layers with weights of their own.", reason="NO_MATMUL")
    quantizer.model.save_model_to_file(str(target))


def _split_gemms(model: onnx.ModelProto) -> None:
    """Write dense layers as a product and a sum, in place, as the quantizer knows only products."""
    graph = model.graph
    weights = {initializer.name: initializer for initializer in graph.initializer}
    turned: dict[str, onnx.TensorProto] = {}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        given = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        is_plain = given.get("alpha", 1.0) == given.get("beta", 1.0) == 1.0 and not given.get("transA", 0)
        if node.op_type != "Gemm" or not is_plain or node.input[1] not in weights:
            nodes.append(node)
            continue
        weight = node.input[1]
        if given.get("transB", 0):
            array = np.ascontiguousarray(numpy_helper.to_array(weights[weight]).T)
            weight = f"{weight}_turned"
            turned[weight] = numpy_helper.from_array(array, weight)
        product = f"{node.output[0]}_product" if len(node.input) > 2 else node.output[0]
        nodes.append(onnx.helper.make_node("MatMul", [node.input[0], weight], [product], f"{node.name}_product"))
        if len(node.input) > 2:
            nodes.append(onnx.helper.make_node("Add", [product, node.input[2]], [node.output[0]], f"{node.name}_sum"))
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(turned.values())
    _drop_unused(model, [name.removesuffix("_turned") for name in turned])


def _drop_unused(model: onnx.ModelProto, names: Sequence[str]) -> None:
    used = {name for graph in graphs_of(model) for node in graph.node for name in node.input}
    kept = [each for each in model.graph.initializer if each.name not in names or each.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
