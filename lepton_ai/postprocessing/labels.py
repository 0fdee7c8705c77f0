"""Scores to labels: the best classes, or all that are over their threshold."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, PrivateAttr

from lepton_ai.errors import FailedPrecondition
from lepton_ai.pipeline.operation import FileName, Misfit, Name
from lepton_ai.postprocessing.answers import Answered, Label, Labels
from lepton_ai.postprocessing.scores import Scores, output_scores
from lepton_ai.postprocessing.step import (
    NOT_A_NUMBER,
    AnswerStep,
    NotANumber,
    Options,
    OutputSpec,
    read_lines,
)
from lepton_ai.tensors import Array

_MAX_CLASSES = 1_000_000
_GREATEST = float(np.finfo(np.float32).max)
"""Scores are sent as float32, which beyond this only has infinity."""

_SHOWN_THRESHOLDS = 8

Threshold = Annotated[float, Field(ge=0, le=1)]


class LabelStep(AnswerStep):
    """A step from scores [N, classes] to labels."""

    kind: ClassVar[str] = "labels"
    takes_scores: ClassVar[bool] = True
    file_parameters: ClassVar[tuple[str, ...]] = ("labels",)
    input: Name | None = Field(default=None, description="Output of the model to take; by default the result before.")
    labels: FileName | None = Field(default=None, description="File with one class name a line, UTF-8, in order.")
    not_a_number: NotANumber = Field(
        default="error",
        description="What becomes of a row whose scores are NaN or infinite: an error, or the labels whose scores are "
        "numbers, if any, with an anomaly that says so.",
    )
    _names: tuple[str, ...] = PrivateAttr(default=())

    def with_files(self, files: Mapping[str, bytes]) -> Self:
        if self.labels is None:
            return self
        loaded = self.model_copy()
        loaded._names = read_class_names(files[self.labels])
        return loaded

    @property
    def class_count(self) -> int | None:
        """How many classes the labels file names, if there is one."""
        return len(self._names) if self._names else None

    def output_names(self) -> tuple[str | None, ...]:
        return (self.input,)

    def check(self, outputs: Mapping[str, OutputSpec]) -> None:
        for spec in outputs.values():
            shape = tuple(spec.shape)
            if len(shape) != 2:
                raise Misfit("input", f"output {spec.name} is {list(shape)}, labels are made of [rows, classes]")
            if self.class_count not in (None, shape[1]) and shape[1] not in (-1, 1):
                problem = f"names {self.class_count} classes, output {spec.name} has {shape[1]}"
                raise Misfit("labels", problem, fix="Pack the labels file that belongs to the model.")

    def answers(self, outputs: Mapping[str, Array], options: Options) -> list[Answered]:
        return self.chosen(_score_rows(outputs, self.input), options.top_k)

    @abstractmethod
    def chosen(self, rows: Scores, wanted: int) -> list[Answered]:
        """The labels of each row of scores; `wanted` is how many the caller asks for, 0 when it does not say."""

    def ranked(self, rows: Scores, count: int) -> list[Answered]:
        """The `count` best classes of each row, best first; equal scores in the order of their index.

        A class with a score of minus infinity is ruled out and never named.
        """
        self.check_count(rows)
        best = _best(rows, min(count, rows.shape[-1]))
        scores = rows[_row_numbers(rows), best]
        # The greatest of a row with NaN is NaN, and comparisons with NaN are false.
        sound = np.abs(rows.max(axis=-1)) <= _GREATEST if len(rows) else np.empty(0, dtype=np.bool_)
        return [self.labelled(*row) for row in zip(best.tolist(), scores.tolist(), sound.tolist(), strict=True)]

    def check_count(self, rows: Scores) -> None:
        """Raises FailedPrecondition unless there are as many scores as named classes."""
        if self._names and rows.shape[-1] != len(self._names):
            raise FailedPrecondition(
                f"The model answers {rows.shape[-1]} classes, the labels file names {len(self._names)}.",
                reason="LABELS_MISMATCH",
                fix="Pack the labels file that belongs to the model.",
            )

    def labelled(self, indices: Sequence[int], scores: Sequence[float], is_sound: bool) -> Answered:
        """These classes with their scores, or the error of a row that is not sound."""
        names = self._names
        labels = [
            Label(index, names[index] if names else "", score)
            for index, score in zip(indices, scores, strict=True)
            if -_GREATEST <= score <= _GREATEST
        ]
        if is_sound:
            return Answered(Labels(labels))
        problem = "The model's scores for this input are not all numbers"
        if self.not_a_number == "anomaly":
            return Answered(Labels(labels), anomaly=f"{problem}.")
        return Answered(
            None,
            error=FailedPrecondition(
                f"{problem}, so that none of its labels means anything.",
                reason=NOT_A_NUMBER,
                fix="Look for missing, zero or huge values in the input; the model's outputs show what it gave.",
            ),
        )


class Classify(LabelStep):
    """Names the best classes with their scores."""

    name: ClassVar[str] = "classify"
    top_k: Annotated[int, Field(ge=1, le=1000)] = Field(default=5, description="How many when the caller does not say.")

    def chosen(self, rows: Scores, wanted: int) -> list[Answered]:
        return self.ranked(rows, wanted or self.top_k)

    def describe_answer(self) -> str:
        return f"the {self.top_k} best{_of_classes(self.class_count)}"


class Argmax(LabelStep):
    """Names the single best class; its score is whatever the model gave it."""

    name: ClassVar[str] = "argmax"

    def chosen(self, rows: Scores, wanted: int) -> list[Answered]:
        return self.ranked(rows, 1)

    def describe_answer(self) -> str:
        return f"the best{_of_classes(self.class_count)}"


class Multilabel(LabelStep):
    """Names every class whose score reaches its threshold, best first: none, one or several a row."""

    name: ClassVar[str] = "multilabel"
    threshold: Threshold = Field(default=0.5, description="Score from which a class counts.")
    thresholds: Annotated[dict[str, Threshold], Field(max_length=10_000)] = Field(
        default={}, description="Thresholds of single classes by name, in place of the common one."
    )
    _limits: npt.NDArray[np.float64] | None = PrivateAttr(default=None)

    def with_files(self, files: Mapping[str, bytes]) -> Self:
        loaded = super().with_files(files)
        unknown = [name for name in self.thresholds if name not in loaded._names]
        if unknown:
            raise Misfit("thresholds", f"{unknown[0][:64]!r} is not among the labels", fix="Name classes of `labels`.")
        if self.thresholds:
            loaded = loaded.model_copy()
            limits = [self.thresholds.get(name, self.threshold) for name in loaded._names]
            loaded._limits = np.array(limits)
        return loaded

    def chosen(self, rows: Scores, wanted: int) -> list[Answered]:
        self.check_count(rows)
        reached = rows >= (self.threshold if self._limits is None else self._limits)
        ranked = self.ranked(np.where(reached | ~np.isfinite(rows), rows, -np.inf), wanted or rows.shape[-1])
        nothing = Answered(Labels(()))
        finite = np.isfinite(rows).all(axis=-1).tolist()
        some = reached.any(axis=-1).tolist()
        # Where no class is chosen all scores are minus infinity, which `ranked` takes for a fault of the model.
        return [
            row if has_some or not is_finite else nothing
            for row, has_some, is_finite in zip(ranked, some, finite, strict=True)
        ]

    def describe_answer(self) -> str:
        own = [f"{name} {limit:.3g}" for name, limit in list(self.thresholds.items())[:_SHOWN_THRESHOLDS]]
        more = len(self.thresholds) - len(own)
        listed = ", ".join([*own, f"{more} more of their own"] if more else own)
        return f"all{_of_classes(self.class_count)} with a score from {self.threshold:g}{f' ({listed})' if own else ''}"


def _score_rows(outputs: Mapping[str, Array], name: str | None) -> Scores:
    scores = output_scores(outputs, name, "for labels")
    if scores.ndim != 2:
        raise FailedPrecondition(
            f"Labels are made of scores [rows, classes]; {name or 'the output'!r} is {list(scores.shape)}.",
            reason="OUTPUT_SHAPE",
            fix="Give the output of the model that holds one score a class.",
        )
    return scores


def read_class_names(content: bytes, parameter: str = "labels") -> tuple[str, ...]:
    """The classes of a labels file. Raises Misfit."""
    lines = read_lines(content, parameter)
    if len(lines) > _MAX_CLASSES:
        raise Misfit(parameter, f"the file names {len(lines)} classes, at most {_MAX_CLASSES} are allowed")
    empty = next((number for number, line in enumerate(lines, 1) if not line.strip()), None)
    if empty is not None:
        raise Misfit(parameter, f"line {empty} of the file is empty")
    return lines


def _of_classes(count: int | None) -> str:
    return f" of {count:,} classes" if count else " classes"


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
