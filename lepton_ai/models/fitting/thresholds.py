"""`thresholds`: from which score on each of several labels counts, given or chosen by the rows to judge by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lepton_ai.datasets.times import Floats
from lepton_ai.errors import InvalidInput
from lepton_ai.models.fitting.weights import by_class
from lepton_ai.training.evaluation import outputs_of
from lepton_ai.training.prepared import Prepared
from lepton_ai.training.targets.multilabel import THRESHOLD, MultiLabel
from lepton_ai.training.tasks import Task

Thresholds = Literal["validation"] | float | Mapping[Any, float] | Sequence[float]
"""One for all labels, by the names or numbers of labels, or one a label; "validation": those with the best F1."""

_FIELD = "thresholds"
_LEAST_ROWS = 10
"""With the label and without it; fewer say nothing about a threshold."""


def check_thresholds(wanted: Thresholds, task: Task, *, is_validated: bool) -> None:
    """Raises InvalidInput for thresholds that cannot be set, or that no rows can choose."""
    if not isinstance(task, MultiLabel):
        raise InvalidInput.of_field(
            _FIELD,
            f"is for models of several labels a row, not for {task.name}",
            fix='Leave it out, or make the model with task="multilabel".',
        )
    if not isinstance(wanted, str):
        _given(task.classes, wanted)
    elif wanted != "validation":
        raise InvalidInput.of_field(_FIELD, f"is {wanted!r}", fix='Give numbers, or "validation" to have them chosen.')
    elif not is_validated:
        raise InvalidInput.of_field(
            _FIELD, "cannot be chosen: no rows are put aside to judge by", fix="Give validation=DATA, or a share."
        )


def set_thresholds(task: MultiLabel, wanted: Thresholds, network: nn.Module, judge: Prepared | None) -> None:
    """Give the task the thresholds that are wanted, which `check_thresholds` has seen."""
    if not isinstance(wanted, str):
        limits = _given(task.classes, wanted)
    else:
        assert judge is not None  # noqa: S101 - see check_thresholds
        logits = torch.cat(list(outputs_of(network, task, judge)))
        scores, present = logits.sigmoid().numpy(), judge.targets["labels"].astype(np.bool_)
        limits = np.array([best_threshold(*label) for label in zip(scores.T, present.T, strict=True)])
    task.thresholds = dict(zip(task.classes, map(float, limits), strict=True))


def best_threshold(scores: npt.NDArray[np.floating[Any]], present: npt.NDArray[np.bool_]) -> float:
    """The threshold with the best F1, halfway between two scores; of equally good ones that nearest to 0.5.

    0.5 where too few rows have the label, or lack it, and where scores are no numbers.
    """
    if min(present.sum(), (~present).sum()) < _LEAST_ROWS or not np.isfinite(scores).all():
        return THRESHOLD
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    hits = np.cumsum(present[order])
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + present.sum())
    cuts = (ranked + np.append(ranked[1:], 0.0)) / 2
    f1[ranked == np.append(ranked[1:], -1.0)] = -1.0  # equal scores cannot be told apart
    best = np.flatnonzero(f1 == f1.max())
    return float(cuts[best[np.abs(cuts[best] - THRESHOLD).argmin()]])


def _given(labels: Sequence[str], wanted: Any) -> Floats:
    each = [float(wanted)] * len(labels) if isinstance(wanted, Real) else wanted
    limits = by_class(_FIELD, labels, each, otherwise=THRESHOLD)
    wrong = next((limit for limit in limits if not 0 <= limit <= 1), None)
    if wrong is not None:
        raise InvalidInput.of_field(_FIELD, f"holds {wrong:g}, must be from 0 to 1")
    return limits
