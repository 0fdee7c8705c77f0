"""4-bit weights of large dense layers, a scale for each block of 32, by ONNX Runtime's MatMulNBits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from lepton_ai.errors import InvalidInput
from lepton_ai.optimize.candidate import Value
from lepton_ai.optimize.methods import Workpiece
from lepton_ai.optimize.quantize.static import quiet

_BLOCK = 32
_ACCURACY_INT8 = 4
"""Of the runtime's levels the one that multiplies in 8 bits."""


def quantize(source: Path, target: Path, piece: Workpiece, parameters: Mapping[str, Value]) -> None:
    """Write `source` with the weights of its MatMuls in 4 bits. Raises InvalidInput for a model without any."""
    model = onnx.load(str(source))
    quantizer = MatMulNBitsQuantizer(model, block_size=_BLOCK, is_symmetric=True, accuracy_level=_ACCURACY_INT8)
    with quiet():
        quantizer.process()
    if not any(node.op_type == "MatMulNBits" for node in quantizer.model.model.graph.node):
        raise InvalidInput("This model has no dense layers with weights of their own (MatMul).", reason="NO_MATMUL")
    quantizer.model.save_model_to_file(str(target))
