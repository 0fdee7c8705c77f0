"""Dynamic int8 by ONNX Runtime: weights in 8 bits, ranges of activations found in every call. For dense and recurrent
layers, where activations are few."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic

from lepton_ai.optimize.candidate import Value
from lepton_ai.optimize.methods import Workpiece
from lepton_ai.optimize.quantize.static import prepare, quiet

_OPERATORS = ["MatMul", "Gemm", "Gather", "LSTM", "Attention", "EmbedLayerNormalization"]
"""Not Conv: its dynamic kernel is slower than FP32."""


def quantize(source: Path, target: Path, piece: Workpiece, parameters: Mapping[str, Value]) -> None:
    """Write `source` with dense, recurrent and embedding weights in 8 bits, per channel."""
    with tempfile.TemporaryDirectory(prefix="lepton-") as place, quiet():
        quantize_dynamic(
            prepare(source, Path(place) / "prepared.onnx"),
            target,
            op_types_to_quantize=_OPERATORS,
            per_channel=True,
            reduce_range=not piece.cpu.multiplies_bytes_exactly,
            weight_type=QuantType.QInt8,
        )
