"""Runs a package's postprocessing over rows in wire form: the only place where the data plane looks into tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lepton_ai.pipeline.postprocess import Postprocess, Scored
from lepton_ai.tensors import Array, from_wire
from services.inference.rows import NamedTensor, Rows, join


def label_rows(postprocess: Postprocess, parts: Sequence[Rows], top_k: int) -> list[list[Scored]]:
    """The labels of every row of `parts`, in order; vectorised over rows of the same layout. `top_k` 0: the package's.

    Raises FailedPrecondition when the outputs are not what the package's steps are made for.
    """
    if len(parts) <= 1 or len({part.layout for part in parts}) == 1:
        return postprocess.run(_arrays(postprocess, join(parts)), top_k) if parts else []
    return [labels for part in parts for labels in postprocess.run(_arrays(postprocess, part), top_k)]


def _arrays(postprocess: Postprocess, rows: Rows) -> dict[str, Array]:
    wanted = [tensor for tensor in rows.tensors if postprocess.input in (None, tensor.name)]
    return {tensor.name: _array(tensor) for tensor in wanted}


def _array(tensor: NamedTensor) -> Array:
    if tensor.dtype == "BF16":  # numpy has none; a bfloat16 is the upper half of a float32
        halves = np.frombuffer(tensor.data, dtype="<u2").astype(np.uint32)
        return (halves << 16).view(np.float32).reshape(tensor.shape)
    return from_wire(tensor.dtype, tensor.shape, tensor.data, field=tensor.name)
