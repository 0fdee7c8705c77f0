"""Turns the outputs of a model into labels with scores, for a whole batch at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, PrivateAttr

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.pipeline.document import parse_steps
from lepton_ai.pipeline.operation import FileName, Misfit, Name, Parameters
from lepton_ai.tensors import Array

Scores = npt.NDArray[np.floating[Any]]

_MAX_CLASSES = 1_000_000
_GREATEST = float(np.finfo(np.float32).max)
"""Scores are sent as float32, which beyond this only has infinity."""

NOT_A_NUMBER = "NOT_A_NUMBER"
"""The reason of errors and anomalies of rows whose scores are no numbers."""


class Scored(NamedTuple):
    """One label of an answer. `name` is empty when the package has no labels file."""

    class_index: int
    name: str
    score: float


@dataclass(frozen=True)
class Labelled:
    """What became of a row of scores: its labels, best first, and where they are no numbers, what that means."""

    labels: Sequence[Scored]
    anomaly: str = ""
    """What is odd about the scores, in one sentence."""
    error: FailedPrecondition | None = None
    """Why there are no labels."""


class _ScoreStep(Parameters):
    """A step from scores to scores, row by row."""

    input: Name | None = Field(default=None, description="Output of the model to take; by default the only one.")

    @abstractmethod
    def scores(self, rows: Scores) -> Scores:
        """Scores of all rows, [N, classes]."""


class Softmax(_ScoreStep):
    """Turns logits into probabilities that sum to 1."""

    name: ClassVar[str] = "softmax"

    def scores(self, rows: Scores) -> Scores:
        with np.errstate(invalid="ignore"):  # a row of infinities becomes NaN, which is what it is
            powers = np.exp(rows - rows.max(axis=-1, keepdims=True))
            probabilities: Scores = powers / powers.sum(axis=-1, keepdims=True)
        return probabilities


class Sigmoid(_ScoreStep):
    """Turns every logit into a probability of its own; a single one into those of no and yes."""

    name: ClassVar[str] = "sigmoid"

    def scores(self, rows: Scores) -> Scores:
        # exp of a negative number only, so it cannot overflow
        powers = np.exp(-np.abs(rows))
        probabilities: Scores = np.where(rows >= 0, 1, powers) / (1 + powers)
        if probabilities.shape[-1] == 1:
            return np.concatenate((1 - probabilities, probabilities), axis=-1)
        return probabilities


class _LabelStep(Parameters):
    """A step from scores to labels; the last one."""

    file_parameters: ClassVar[tuple[str, ...]] = ("labels",)
    input: Name | None = Field(default=None, description="Output of the model to take; by default the result before.")
    labels: FileName | None = Field(default=None, description="File with one class name a line, UTF-8, in order.")
    not_a_number: Literal["error", "anomaly"] = Field(
        default="error",
        description="What becomes of a row whose scores are NaN or infinite: an error, or the labels whose scores are "
        "numbers, if any, with an anomaly that says so.",
    )
    _names: tuple[str, ...] = PrivateAttr(default=())

    def with_files(self, files: Mapping[str, bytes]) -> Self:
        if self.labels is None:
            return self
        loaded = self.model_copy()
        loaded._names = _read_labels(files[self.labels])
        return loaded

    @property
    def class_count(self) -> int | None:
        """How many classes the labels file names, if there is one."""
        return len(self._names) if self._names else None

    @abstractmethod
    def count(self, wanted: int) -> int:
        """How many labels to give a row; `wanted` is the caller's choice, 0 for none."""

    def ranked(self, rows: Scores, count: int) -> list[Labelled]:
        """The `count` best classes of each row, best first; equal scores in the order of their index.

        A class with a score of minus infinity is ruled out and never named.
        """
        if self._names and rows.shape[-1] != len(self._names):
            raise FailedPrecondition(
                f"The model answers {rows.shape[-1]} classes, the labels file names {len(self._names)}.",
                reason="LABELS_MISMATCH",
                fix="Pack the labels file that belongs to the model.",
            )
        best = _best(rows, min(count, rows.shape[-1]))
        scores = rows[_row_numbers(rows), best]
        # The greatest of a row with NaN is NaN, and comparisons with NaN are false.
        sound = np.abs(rows.max(axis=-1)) <= _GREATEST if len(rows) else np.empty(0, dtype=np.bool_)
        return [self._labelled(*row) for row in zip(best.tolist(), scores.tolist(), sound.tolist(), strict=True)]

    def _labelled(self, indices: Sequence[int], scores: Sequence[float], is_sound: bool) -> Labelled:
        names = self._names
        labels = [
            Scored(index, names[index] if names else "", score)
            for index, score in zip(indices, scores, strict=True)
            if -_GREATEST <= score <= _GREATEST
        ]
        if is_sound:
            return Labelled(labels)
        problem = "The model's scores for this input are not all numbers"
        if self.not_a_number == "anomaly":
            return Labelled(labels, anomaly=f"{problem}.")
        return Labelled(
            (),
            error=FailedPrecondition(
                f"{problem}, so that none of its labels means anything.",
                reason=NOT_A_NUMBER,
                fix="Look for missing, zero or huge values in the input; the model's outputs show what it gave.",
            ),
        )


class Classify(_LabelStep):
    """Names the best classes with their scores."""

    name: ClassVar[str] = "classify"
    top_k: Annotated[int, Field(ge=1, le=1000)] = Field(default=5, description="How many when the caller does not say.")

    def count(self, wanted: int) -> int:
        return wanted or self.top_k


class Argmax(_LabelStep):
    """Names the single best class; its score is whatever the model gave it."""

    name: ClassVar[str] = "argmax"

    def count(self, wanted: int) -> int:
        return 1


POST_OPERATIONS: dict[str, type[Parameters]] = {step.name: step for step in (Softmax, Sigmoid, Classify, Argmax)}


class Postprocess:
    """Score steps, then one label step. Immutable: one instance may run in many threads at once."""

    def __init__(self, steps: Sequence[_ScoreStep], last: _LabelStep) -> None:
        """Use `load`."""
        self._score_steps = tuple(steps)
        self._last = last
        self.input: str | None = steps[0].input if steps else last.input
        """Name of the model output that it reads; None: the only one there is."""

    @classmethod
    def load(cls, steps: Sequence[Mapping[str, Any]], files: Mapping[str, bytes] | None = None) -> Self:
        """Check steps and read their files. Raises InvalidInput with paths such as "steps[1].labels"."""
        parsed = parse_steps(steps, POST_OPERATIONS)
        *scoring, last = [_with_files(index, step, files or {}) for index, step in enumerate(parsed)]
        if not isinstance(last, _LabelStep):
            raise InvalidInput.of_field(
                f"steps[{len(scoring)}]", "makes no labels", fix="End with a classify or argmax step."
            )
        score_steps: list[_ScoreStep] = []
        for index, step in enumerate(scoring):
            if not isinstance(step, _ScoreStep):
                raise InvalidInput.of_field(f"steps[{index}]", f"{step.name} must be the last step")
            score_steps.append(step)
        for index, given in enumerate([*(step.input for step in score_steps), last.input]):
            if index and given is not None:
                raise InvalidInput.of_field(f"steps[{index}].input", "only the first step reads an output of the model")
        return cls(score_steps, last)

    @property
    def class_count(self) -> int | None:
        """How many classes the labels file names, if there is one."""
        return self._last.class_count

    def run(self, outputs: Mapping[str, Array], top_k: int = 0) -> list[Labelled]:
        """The best labels of every row; `top_k` 0 takes the package's own number.

        A row whose scores are NaN or infinite has its own error or anomaly, as the package says.

        Raises FailedPrecondition when the model's output is not what the steps are made for: a fault of the package.
        """
        rows = self._rows(outputs)
        for step in self._score_steps:
            rows = step.scores(rows)
        return self._last.ranked(rows, self._last.count(top_k))

    def _rows(self, outputs: Mapping[str, Array]) -> Scores:
        name = self.input if self.input is not None else next(iter(outputs)) if len(outputs) == 1 else None
        if name is None or name not in outputs:
            raise FailedPrecondition(
                f"Postprocessing needs the model output {name or '(unnamed)'!r}, there are {', '.join(outputs)}.",
                reason="OUTPUT_MISSING",
                fix="Correct `input` of the first postprocess step in the package.",
            )
        array = np.asarray(outputs[name])
        if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind not in "fiub":
            raise FailedPrecondition(
                f"Postprocessing needs numbers as [rows, classes]; {name!r} is {array.dtype} {list(array.shape)}.",
                reason="OUTPUT_SHAPE",
                fix="Give the output of the model that holds one score a class.",
            )
        return array.astype(np.float64 if array.dtype == np.float64 else np.float32, copy=False)


def without_labels(outputs: Mapping[str, Array], count: int) -> list[Labelled]:
    """What becomes of `count` rows of a model that has no labels: an anomaly where an output is NaN or infinite."""
    sound = np.ones(count, dtype=np.bool_)
    for array in outputs.values():
        if array.dtype.kind == "f" and array.size:
            sound &= np.isfinite(array.reshape(count, -1)).all(axis=1)
    odd = "The model's outputs for this input are not all numbers."
    return [Labelled((), anomaly="" if each else odd) for each in sound.tolist()]


def post_file_names(steps: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Names of the files that postprocess steps read, sorted. Raises InvalidInput for invalid steps."""
    parsed = parse_steps(steps, POST_OPERATIONS)
    return tuple(sorted({name for step in parsed for _, name in step.files_used()}))


def _with_files(index: int, step: Parameters, files: Mapping[str, bytes]) -> Parameters:
    try:
        return step.with_files(step.files_from(files))
    except Misfit as misfit:
        raise InvalidInput.of_field(
            f"steps[{index}].{misfit.parameter}", misfit.description, fix=misfit.fix, reason="INVALID_PARAMETER"
        ) from None


def _read_labels(content: bytes) -> tuple[str, ...]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Misfit("labels", "the file is not UTF-8 text") from None
    # Blanks stay: classes of a table may differ in nothing else.
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    if len(lines) > _MAX_CLASSES:
        raise Misfit("labels", f"the file names {len(lines)} classes, at most {_MAX_CLASSES} are allowed")
    empty = next((number for number, line in enumerate(lines, 1) if not line.strip()), None)
    if empty is not None:
        raise Misfit("labels", f"line {empty} of the file is empty")
    return tuple(lines)


def _best(rows: Scores, count: int) -> npt.NDArray[np.intp]:
    """Columns of the `count` greatest scores of each row, greatest first. NaN counts as least."""
    descending, numbers = -rows, _row_numbers(rows)
    if count < rows.shape[-1]:
        candidates = descending.argpartition(count - 1, axis=-1)[:, :count]
        candidates.sort(axis=-1)  # so that the stable sort below leaves equal scores in the order of their index
    else:
        candidates = np.broadcast_to(np.arange(rows.shape[-1]), rows.shape)
    order = descending[numbers, candidates].argsort(axis=-1, kind="stable")
    best: npt.NDArray[np.intp] = candidates[numbers, order]
    return best


def _row_numbers(rows: Scores) -> npt.NDArray[np.intp]:
    """[[0], [1], …]: with columns, the index of elements in each row; take_along_axis does this, slower."""
    return np.arange(len(rows))[:, np.newaxis]
