"""All arithmetic in FP16, for processors and accelerators that have it; others convert back and forth."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from lepton_ai.optimize.candidate import Value
from lepton_ai.optimize.methods import Workpiece


def compute_in_halves(source: Path, target: Path, piece: Workpiece, parameters: Mapping[str, Value]) -> None:
    """Write `source` with weights and arithmetic in FP16; inputs and outputs stay as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that are cut: what that does to answers is measured
        model = convert_float_to_float16(onnx.load(str(source)), keep_io_types=True)
    OnnxModel.graph_topological_sort(model.graph)  # the casts of some inputs come last
    onnx.save(model, str(target))
