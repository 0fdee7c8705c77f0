"""Steps from raw scores to scores, before the step that names the answer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from lepton_ai.errors import FailedPrecondition
from lepton_ai.pipeline.operation import Name, Parameters
from lepton_ai.postprocessing.step import only_output
from lepton_ai.tensors import Array

Scores = npt.NDArray[np.floating[Any]]


class ScoreStep(Parameters):
    """A step from scores to scores, row by row."""

    input: Name | None = Field(default=None, description="Output of the model to take; by default the only one.")

    @abstractmethod
    def scores(self, rows: Scores) -> Scores:
        """Scores of all rows, [N, …, classes]."""


class Softmax(ScoreStep):
    """Turns logits into probabilities that sum to 1."""

    name: ClassVar[str] = "softmax"

    def scores(self, rows: Scores) -> Scores:
        return softmax(rows)


class Sigmoid(ScoreStep):
    """Turns every logit into a probability of its own; a single one into those of no and yes."""

    name: ClassVar[str] = "sigmoid"

    def scores(self, rows: Scores) -> Scores:
        probabilities = sigmoid(rows)
        if probabilities.shape[-1] == 1:
            return np.concatenate((1 - probabilities, probabilities), axis=-1)
        return probabilities


def output_scores(outputs: Mapping[str, Array], name: str | None, step: str) -> Scores:
    """An output as scores [rows, …, classes]; `step` says what for. Raises FailedPrecondition."""
    array = np.asarray(only_output(outputs, name, step))
    if array.ndim < 2 or array.shape[-1] == 0 or array.dtype.kind not in "fiub":
        raise FailedPrecondition(
            f"Scores are numbers, one a class; {name or 'the output'!r} is {array.dtype} {list(array.shape)}.",
            reason="OUTPUT_SHAPE",
            fix="Give the output of the model that holds one score a class.",
        )
    return array.astype(np.float64 if array.dtype == np.float64 else np.float32, copy=False)


def softmax(logits: Scores) -> Scores:
    """Probabilities over the last axis."""
    with np.errstate(invalid="ignore"):  # a row of infinities becomes NaN, which is what it is
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        probabilities: Scores = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def sigmoid(logits: Scores) -> Scores:
    """The probability of each logit by itself."""
    # exp of a negative number only, so it cannot overflow
    powers = np.exp(-np.abs(logits))
    probabilities: Scores = np.where(logits >= 0, 1, powers) / (1 + powers)
    return probabilities
