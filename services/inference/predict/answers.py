"""Runs a package's postprocessing over rows in wire form: the only place where the data plane looks into tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lepton_ai.pipeline.frames import Frame
from lepton_ai.postprocessing import NOT_A_NUMBER, Answered, Options, Postprocess, without_meaning
from lepton_ai.tensors import Array, from_wire
from lepton_ai.v1 import preprocess_pb2
from services.inference.predict.result import Outcome
from services.inference.rows import NamedTensor, Rows, join

_FLOATS = ("FP16", "FP32", "FP64", "BF16")


def note_faults(outcomes: Sequence[Outcome], answers: Sequence[Answered]) -> list[Answered]:
    """Note errors and anomalies of answers at their raw items; returns the answers of the items without error.

    Raises a single item's error.
    """
    answered = [outcome for outcome in outcomes if outcome.rows is not None]
    for outcome, row in zip(answered, answers, strict=True):
        outcome.error = row.error
        outcome.anomalies = [*outcome.anomalies, *anomalies_of(row)]
    if len(outcomes) == 1 and outcomes[0].error is not None:
        raise outcomes[0].error
    return [row for row in answers if row.error is None]


def note_odd_outputs(outcomes: Sequence[Outcome]) -> None:
    """Note at the raw items of a model that declares no answer which of their outputs are no numbers."""
    for outcome in outcomes:
        if outcome.rows is not None:
            numbers = {tensor.name: _array(tensor) for tensor in outcome.rows.tensors if tensor.dtype in _FLOATS}
            odd = [anomaly for row in without_meaning(numbers, outcome.rows.count) for anomaly in anomalies_of(row)]
            outcome.anomalies = [*outcome.anomalies, *odd]


def anomalies_of(row: Answered) -> list[preprocess_pb2.InputAnomaly]:
    """What is odd about the outputs of a row."""
    return [preprocess_pb2.InputAnomaly(reason=NOT_A_NUMBER, message=row.anomaly)] if row.anomaly else []


def answer_rows(
    postprocess: Postprocess, parts: Sequence[Rows], top_k: int, frames: Sequence[Frame | None] = ()
) -> list[Answered]:
    """What every row of `parts` means, in order; vectorised over rows of the same layout. `top_k` 0: the package's.

    `frames`: for each part, which then is one row, how its picture's pixels were moved. Raises FailedPrecondition when
    the outputs are not what the package's steps are made for.
    """
    if len(parts) <= 1 or len({part.layout for part in parts}) == 1:
        return postprocess.run(_arrays(postprocess, join(parts)), Options(top_k, frames)) if parts else []
    of_parts = [frames[index : index + 1] for index in range(len(parts))]
    return [
        row
        for part, own in zip(parts, of_parts, strict=True)
        for row in postprocess.run(_arrays(postprocess, part), Options(top_k, own))
    ]


def _arrays(postprocess: Postprocess, rows: Rows) -> dict[str, Array]:
    wanted = [tensor for tensor in rows.tensors if postprocess.inputs is None or tensor.name in postprocess.inputs]
    return {tensor.name: _array(tensor) for tensor in wanted}


def _array(tensor: NamedTensor) -> Array:
    if tensor.dtype == "BF16":  # numpy has none; a bfloat16 is the upper half of a float32
        halves = np.frombuffer(tensor.data, dtype="<u2").astype(np.uint32)
        return (halves << 16).view(np.float32).reshape(tensor.shape)
    return from_wire(tensor.dtype, tensor.shape, tensor.data, field=tensor.name)
