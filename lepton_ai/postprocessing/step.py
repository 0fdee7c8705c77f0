"""What a postprocessing step is: from the model's outputs for a whole batch to one answer a row.

A new kind of answer is a class in `answers`, a step here beside the others, a message in `inference.proto` and its
lines in `messages`. Add the step to `postprocess.STEPS`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field

from lepton_ai.errors import FailedPrecondition
from lepton_ai.pipeline.frames import Frame
from lepton_ai.pipeline.operation import Misfit, Name, Parameters
from lepton_ai.postprocessing.answers import Answered, RowAnswer
from lepton_ai.tensors import Array

NOT_A_NUMBER = "NOT_A_NUMBER"
"""The reason of errors and anomalies of rows whose outputs are no numbers."""

NotANumber = Literal["error", "anomaly"]


class OutputSpec(Protocol):
    """One declared output; the first dimension is the batch (-1), further -1 are free."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> Sequence[int]: ...


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may choose, and what is known of the rows beside the outputs."""

    top_k: int = 0
    """How many labels or boxes at most; 0: as the package says."""
    frames: Sequence[Frame | None] = ()
    """For each row, where the picture's pixels come from; empty or None where that is not known."""

    def frame(self, row: int) -> Frame | None:
        """The frame of a row, if known."""
        return self.frames[row] if self.frames else None


class AnswerStep(Parameters):
    """The last step: what the outputs mean."""

    kind: ClassVar[str]
    """What users call this kind of answer: labels, numbers, series, boxes, text, mask, embedding."""
    keeps_outputs: ClassVar[bool] = False
    """Whether answers come with the model's outputs unless others are asked for: where these are the answer itself."""
    takes_scores: ClassVar[bool] = False
    """Whether score steps, such as softmax, may come before it."""

    @abstractmethod
    def output_names(self) -> tuple[str | None, ...]:
        """Names of the model's outputs that it takes; None stands for the only one."""

    @abstractmethod
    def check(self, outputs: Mapping[str, OutputSpec]) -> None:
        """Check that declared outputs, those of `output_names`, can be read so. Raises Misfit."""

    @abstractmethod
    def answers(self, outputs: Mapping[str, Array], options: Options) -> list[Answered]:
        """What each row means. Raises FailedPrecondition for outputs that the step is not made for: a wrong package."""

    @abstractmethod
    def describe_answer(self) -> str:
        """What callers get, in a few words for a table: "the 5 best of 1,000 classes"."""


class OneOutputStep(AnswerStep):
    """A step that reads one output of numbers."""

    input: Name | None = Field(default=None, description="Output of the model to take; by default the only one.")

    def output_names(self) -> tuple[str | None, ...]:
        return (self.input,)

    def numeric_rows(self, outputs: Mapping[str, Array]) -> Array:
        """The output. Raises FailedPrecondition unless it holds numbers."""
        array = np.asarray(only_output(outputs, self.input, self.name))
        if array.dtype.kind not in "fiub":
            raise FailedPrecondition(
                f"The step {self.name} needs numbers, the model gives {array.dtype}.", reason="OUTPUT_SHAPE"
            )
        return array


class ValuesStep(OneOutputStep):
    """A step that reads one output of numbers that may turn out to be NaN or infinite."""

    not_a_number: NotANumber = Field(
        default="error", description="What becomes of a row with NaN or infinity: an error, or an anomaly that says so."
    )

    def answered(self, answer: RowAnswer, is_sound: bool) -> Answered:
        """The answer of a row whose outputs are numbers; of another one what `not_a_number` says."""
        if is_sound:
            return Answered(answer)
        if self.not_a_number == "anomaly":
            return Answered(answer, anomaly="The model's outputs for this input are not all numbers.")
        return Answered(None, error=not_numbers())


def read_lines(content: bytes, parameter: str) -> tuple[str, ...]:
    """A file with a name a line, in order. Raises Misfit."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Misfit(parameter, "the file is not UTF-8 text") from None
    # Blanks stay: classes of a table may differ in nothing else.
    return tuple(line.removesuffix("\r") for line in text.removesuffix("\n").split("\n"))


def only_output(outputs: Mapping[str, Array], name: str | None, step: str) -> Array:
    """The output of that name, or the only one. Raises FailedPrecondition."""
    wanted = name if name is not None else next(iter(outputs)) if len(outputs) == 1 else None
    if wanted is None or wanted not in outputs:
        raise FailedPrecondition(
            f"Postprocessing needs the model output {wanted or '(unnamed)'!r}, there are {', '.join(outputs)}.",
            reason="OUTPUT_MISSING",
            fix=f"Correct the outputs that the step {step} names in the package.",
        )
    return outputs[wanted]


def finite_rows(array: Array) -> Iterator[bool]:
    """For each row whether all its elements are numbers."""
    if array.dtype.kind != "f":
        return iter([True] * len(array))
    return iter(np.isfinite(array).all(axis=tuple(range(1, array.ndim))).tolist())


def not_numbers(what: str = "outputs") -> FailedPrecondition:
    """The error of a row whose outputs are NaN or infinite."""
    return FailedPrecondition(
        f"The model's {what} for this input are not all numbers, so that its answer means nothing.",
        reason=NOT_A_NUMBER,
        fix="Look for missing, zero or huge values in the input; the model's outputs show what it gave.",
    )
