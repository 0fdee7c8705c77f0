"""What a candidate loses: its answers beside the original's and, where they are known, beside the right ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lepton_ai.errors import InvalidInput
from lepton_ai.optimize.measure.intervals import Estimate, paired_difference, resampled, share
from lepton_ai.optimize.right_answers import SEPARATOR
from lepton_ai.package import Package
from lepton_ai.postprocessing import Options, Postprocess
from lepton_ai.postprocessing.answers import Labels, Numbers, Series, Text
from lepton_ai.tensors import Array

Numeric = npt.NDArray[np.float64]
_SINGLE_LABEL = ("classify", "argmax")


@dataclass(frozen=True)
class Accuracy:
    """How good the answers are, and how much worse than the original's."""

    metric: str
    """"accuracy" or "r2" against right answers, "agreement" or "closeness" (R²) against the original's."""
    value: float
    original: float
    loss: Estimate
    """In the metric's own unit: 0.005 is half a point. Negative when the candidate is better."""
    agreement: Estimate
    """Share of rows that are answered as the original does; for numbers R² of the answers against the original's."""
    rows: int
    largest_change: float
    """The greatest difference of any output value."""

    def is_proved(self, max_loss: float) -> bool:
        """Whether even the upper end of the interval is within the bound."""
        return self.loss.high <= max_loss


class Judge:
    """Knows what a package's outputs mean, and what is right."""

    def __init__(self, package: Package, targets: Sequence[Any] | Array | None) -> None:
        """`targets`: names for answers that are names or texts, numbers for others; None when nobody knows."""
        steps = package.postprocess_document()
        self._outputs = [spec.name for spec in package.description.outputs]
        self._post = None if steps is None else Postprocess.load(steps, package.postprocess_files())
        self._one_label = steps is not None and steps[-1]["op"] in _SINGLE_LABEL
        self._targets = targets

    def compare(self, original: Mapping[str, Array], candidate: Mapping[str, Array]) -> Accuracy:
        """The loss over rows that both have answered. Raises InvalidInput for targets that are no such answers."""
        before, after = self._answers(original), self._answers(candidate)
        change = max(float(np.max(np.abs(_numbers(original[n]) - _numbers(candidate[n])), initial=0)) for n in original)
        if before.dtype.kind == "O":
            return self._compare_names(before, after, change)
        return self._compare_numbers(_table(before), _table(after), change)

    def _compare_names(self, before: Array, after: Array, change: float) -> Accuracy:
        count, same = len(before), before == after
        agreement = share(int(same.sum()), count)
        if self._targets is None:
            loss = Estimate(1 - agreement.value, 1 - agreement.high, 1 - agreement.low)
            return Accuracy("agreement", agreement.value, 1.0, loss, agreement, count, change)
        right = _objects([str(name) for name in self._targets])
        if not self._one_label:
            right = _objects([_as_answered(name, before[0]) for name in right])
        was, is_ = before == right, after == right
        if not was.any():
            raise InvalidInput.of_field(
                "data",
                f"says {right[0]!r} of its first row; the original answers {before[0]!r}, and none of the rows rightly",
                reason="OTHER_NAMES",
                fix="Name the classes as the package does.",
            )
        loss = paired_difference(int((was & ~is_).sum()), int((~was & is_).sum()), count)
        return Accuracy("accuracy", float(is_.mean()), float(was.mean()), loss, agreement, count, change)

    def _compare_numbers(self, before: Array, after: Array, change: float) -> Accuracy:
        count = len(before)
        closeness = resampled(lambda rows: _r2(after[rows], before[rows]), count)
        if self._targets is None:
            loss = Estimate(1 - closeness.value, 1 - closeness.high, 1 - closeness.low)
            return Accuracy("closeness", closeness.value, 1.0, loss, closeness, count, change)
        right = self._right_numbers(before)
        loss = resampled(lambda rows: _r2(before[rows], right[rows]) - _r2(after[rows], right[rows]), count)
        return Accuracy("r2", _r2(after, right), _r2(before, right), loss, closeness, count, change)

    def _right_numbers(self, answers: Array) -> Array:
        try:
            right = _table(np.asarray(self._targets, dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise InvalidInput.of_field("data", "has targets that are no numbers, the model answers numbers") from error
        if right.shape != answers.shape:
            wanted, got = list(answers.shape[1:]), list(right.shape[1:])
            raise InvalidInput.of_field("data", f"has {got} numbers a row to compare with, the model answers {wanted}")
        return right

    def _answers(self, outputs: Mapping[str, Array]) -> Array:
        """What the rows are answered: names as objects, or numbers."""
        first = outputs[self._outputs[0]]
        if self._post is None:
            classes = self._targets is not None and np.asarray(self._targets).dtype.kind in "iu" and first.ndim == 2
            return _objects([str(index) for index in first.argmax(axis=1)]) if classes else _numbers(first)
        answered = [each.answer for each in self._post.run(dict(outputs), Options(0))]
        if not all(isinstance(each, Labels | Text | Numbers | Series) for each in answered):
            return _numbers(first)
        return _of_answers(answered, one_label=self._one_label)


def _of_answers(answers: Sequence[Any], *, one_label: bool) -> Array:
    if isinstance(answers[0], Text):
        return _objects([each.text for each in answers])
    if isinstance(answers[0], Labels):
        names = [[label.name or str(label.index) for label in each.labels] for each in answers]
        return _objects([each[0] if one_label and each else tuple(sorted(each)) for each in names])
    if isinstance(answers[0], Numbers):
        return np.array([[number.value for number in each.numbers] for each in answers], dtype=np.float64)
    return np.stack([np.asarray(each.values, dtype=np.float64) for each in answers])


def _as_answered(name: str, answer: Any) -> Any:
    """Several labels as answers have them: a tuple."""
    return tuple(name.split(SEPARATOR) if name else ()) if isinstance(answer, tuple) else name


def _objects(values: Sequence[Any]) -> Array:
    made = np.empty(len(values), dtype=np.object_)
    made[:] = values
    return made


def _numbers(array: Array) -> Numeric:
    return array.astype(np.float64) if array.dtype.kind in "biuf" else np.zeros(len(array))


def _table(array: Array) -> Array:
    return array.reshape(len(array), -1)


def _r2(answers: Array, right: Array) -> float:
    """How much of the variance is explained, over all numbers together; 1 where there is none to explain and none is
    missed."""
    missed = float(((answers.astype(float) - right) ** 2).sum())
    there = float(((right.astype(float) - right.mean(axis=0)) ** 2).sum())
    if there == 0:
        return 1.0 if missed == 0 else 0.0
    return 1 - missed / there
