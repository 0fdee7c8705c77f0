"""How much each row counts in the loss: the data set's column of role "weight"."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lepton_ai.datasets.batch import Batch
from lepton_ai.datasets.times import Floats
from lepton_ai.errors import InvalidInput
from lepton_ai.tensors import Array

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset

Floats32 = npt.NDArray[np.float32]

WEIGHT = "weight"
"""Where the weights stand among the targets of prepared rows."""


def row_weights(data: Dataset, *, task: str, are_heeded: bool) -> dict[str, Array]:
    """The weights of all rows among the targets, 1 on average; nothing without a column of that role.

    Raises InvalidInput for weights that make no sense, and for a task that does not heed them.
    """
    column = data.schema.with_role("weight")
    if column is None:
        return {}
    if not are_heeded:
        raise InvalidInput.of_field(
            column.name,
            f"weighs the rows, and {task} takes all rows alike",
            fix='Give it another role: data.with_schema(data.schema.with_roles(NAME="ignore")).',
        )
    schema = data.schema
    if schema.target is not None:
        schema = schema.with_column(replace(schema.target, role="ignore"))
    schema = schema.with_column(replace(column, kind="number", role="target", categories=()))
    weights = data.with_schema(schema).target_values()
    return {WEIGHT: checked_weights(column.name, np.asarray(weights, dtype=np.float64))}


def checked_weights(name: str, weights: Floats) -> Floats32:
    """Weights with a mean of 1, float32. Raises InvalidInput for negative ones, gaps, and nothing but zeros."""
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if wrong.size:
        raise InvalidInput.of_field(name, f"is {weights[wrong[0]]} in row {wrong[0]}, must be at least 0, and finite")
    if not weights.any():
        raise InvalidInput.of_field(name, "is 0 everywhere", fix="Give rows that count a weight above 0.")
    return np.asarray(weights / weights.mean(), dtype=np.float32)


def mean_over_rows(losses: Tensor, batch: Batch) -> Tensor:
    """The mean of the losses of rows, or of several numbers a row, in which every row counts by its weight.

    Raises InvalidInput when there are weights and only one loss for all rows.
    """
    weights = batch.targets.get(WEIGHT)
    if weights is None:
        return losses.mean()
    if losses.ndim == 0 or len(losses) != len(weights):
        raise InvalidInput.of_field(
            "loss",
            "gives one number for all rows, which cannot be weighed one by one",
            fix='Give one that answers a number a row, such as torch.nn.MSELoss(reduction="none").',
        )
    return (losses.flatten(1).mean(dim=1) * weights if losses.ndim > 1 else losses * weights).mean()
