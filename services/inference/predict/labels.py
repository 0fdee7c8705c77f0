"""Runs a package's postprocessing over rows in wire form: the only place where the data plane looks into tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lepton_ai.pipeline.postprocess import NOT_A_NUMBER, Labelled, Postprocess
from lepton_ai.tensors import Array, from_wire
from lepton_ai.v1 import preprocess_pb2
from services.inference.predict.outcome import ItemOutcome
from services.inference.rows import NamedTensor, Rows, join


def label_outcomes(postprocess: Postprocess, outcomes: Sequence[ItemOutcome], top_k: int) -> None:
    """Give every item that has its row of the outputs its labels; one whose scores are no numbers gets its own error or
    anomaly, and disturbs no other. Raises as `label_rows` does."""
    good = [(outcome, outcome.rows) for outcome in outcomes if outcome.rows is not None]
    labelled = label_rows(postprocess, [rows for _, rows in good], top_k)
    for (outcome, _), row in zip(good, labelled, strict=True):
        outcome.labels, outcome.error = row.labels, row.error
        if row.anomaly:
            anomaly = preprocess_pb2.InputAnomaly(reason=NOT_A_NUMBER, message=row.anomaly)
            outcome.anomalies = [*outcome.anomalies, anomaly]


def label_rows(postprocess: Postprocess, parts: Sequence[Rows], top_k: int) -> list[Labelled]:
    """The labels of every row of `parts`, in order; vectorised over rows of the same layout. `top_k` 0: the package's.

    Raises FailedPrecondition when the outputs are not what the package's steps are made for.
    """
    if len(parts) <= 1 or len({part.layout for part in parts}) == 1:
        return postprocess.run(_arrays(postprocess, join(parts)), top_k) if parts else []
    return [row for part in parts for row in postprocess.run(_arrays(postprocess, part), top_k)]


def _arrays(postprocess: Postprocess, rows: Rows) -> dict[str, Array]:
    wanted = [tensor for tensor in rows.tensors if postprocess.input in (None, tensor.name)]
    return {tensor.name: _array(tensor) for tensor in wanted}


def _array(tensor: NamedTensor) -> Array:
    if tensor.dtype == "BF16":  # numpy has none; a bfloat16 is the upper half of a float32
        halves = np.frombuffer(tensor.data, dtype="<u2").astype(np.uint32)
        return (halves << 16).view(np.float32).reshape(tensor.shape)
    return from_wire(tensor.dtype, tensor.shape, tensor.data, field=tensor.name)
