"""Weights that are mostly zero, stored as their other values and where those are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from lepton_ai.errors import InvalidInput
from lepton_ai.optimize.candidate import Value
from lepton_ai.optimize.methods import Workpiece

_LEAST_VALUES = 512
_BYTES_PER_STORED = 3
"""A stored value takes 12 bytes with its 64-bit place, a plain one 4."""


def store_sparse(source: Path, target: Path, piece: Workpiece, parameters: Mapping[str, Value]) -> None:
    """Write `source` with its sparse weights as ONNX's sparse initializers, which runtimes fill up when they load them.

    Raises InvalidInput for a model without any.
    """
    model = onnx.load(str(source))
    sparse = [tensor for tensor in model.graph.initializer if _pays(tensor)]
    if not sparse:
        raise InvalidInput("No weights of this model are sparse.", reason="NOT_SPARSE", fix="Prune them first.")
    for tensor in sparse:
        array = numpy_helper.to_array(tensor).ravel()
        places = np.flatnonzero(array).astype(np.int64)
        values = numpy_helper.from_array(array[places], tensor.name)
        indices = numpy_helper.from_array(places, f"{tensor.name}_indices")
        model.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, indices, list(tensor.dims)))
        model.graph.initializer.remove(tensor)
    onnx.save(model, str(target))


def _pays(tensor: onnx.TensorProto) -> bool:
    if tensor.data_type != onnx.TensorProto.FLOAT:
        return False
    array = numpy_helper.to_array(tensor)
    return array.size >= _LEAST_VALUES and np.count_nonzero(array) * _BYTES_PER_STORED < array.size
