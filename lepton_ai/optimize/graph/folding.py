"""What a graph computes the same way every time, computed once: constants, and shapes that the package fixes.

ONNX Runtime does the same whenever it opens a model, so calls are as fast as before; what is gained are files without
what is never needed, models that open sooner, and fixed shapes for tools that need them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import onnxruntime

from lepton_ai.errors import InvalidInput
from lepton_ai.optimize.candidate import Value
from lepton_ai.optimize.methods import Workpiece


def fold(source: Path, target: Path, piece: Workpiece, parameters: Mapping[str, Value]) -> None:
    """Write `source` with constants folded and what follows from them, in standard operators for every processor.

    Free dimensions of inputs that the package declares with a size get that size. What is computed from the shape
    of an input is a constant only where all of that shape is known, which is where rows are not free.
    Raises InvalidInput for a model that the runtime cannot open.
    """
    with tempfile.TemporaryDirectory(prefix="lepton-") as place:
        fixed = Path(place) / "fixed.onnx"
        model = onnx.load(str(source))
        fix_shapes(model, piece.shapes)
        onnx.save(model, str(fixed))
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(target)
        options.log_severity_level = 3
        try:
            onnxruntime.InferenceSession(str(fixed), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # whatever the runtime finds in a model
            text = str(error).partition("\n")[0][:300]
            raise InvalidInput.of_field("model", f"cannot be folded: {text}", reason="NOT_FOLDABLE") from error


def fix_shapes(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> int:
    """Give inputs the sizes that are known, in place; how many dimensions were free before."""
    fixed = 0
    for value in model.graph.input:
        dimensions = value.type.tensor_type.shape.dim
        for dimension, size in zip(dimensions, shapes.get(value.name, ()), strict=False):
            if size >= 0 and not dimension.HasField("dim_value"):
                dimension.dim_value = size
                fixed += 1
    if fixed:
        del model.graph.value_info[:]  # inferred for the free ones
    return fixed
