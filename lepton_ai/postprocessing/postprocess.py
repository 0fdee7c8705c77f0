"""A package's postprocessing: steps that are checked once and then say what the outputs of each batch mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline.document import parse_steps
from lepton_ai.pipeline.operation import Misfit, Parameters
from lepton_ai.postprocessing.answers import Answered
from lepton_ai.postprocessing.boxes import Detect
from lepton_ai.postprocessing.labels import Argmax, Classify, LabelStep, Multilabel
from lepton_ai.postprocessing.masks import NameRegions
from lepton_ai.postprocessing.numbers import NameNumbers, NameSeries, TakeEmbedding
from lepton_ai.postprocessing.scores import ScoreStep, Sigmoid, Softmax, output_scores
from lepton_ai.postprocessing.step import AnswerStep, Options, OutputSpec
from lepton_ai.postprocessing.texts import DecodeCtc, JoinTokens
from lepton_ai.tensors import Array

STEPS: dict[str, type[Parameters]] = {
    step.name: step
    for step in (
        Softmax, Sigmoid,
        Classify, Argmax, Multilabel,
        NameNumbers, NameSeries, TakeEmbedding,
        DecodeCtc, JoinTokens,
        Detect, NameRegions,
    )
}  # fmt: skip
_NO_OPTIONS = Options()


class Postprocess:
    """Score steps, if any, then the step that names the answer. Immutable: may run in many threads at once."""

    def __init__(self, steps: Sequence[ScoreStep], last: AnswerStep) -> None:
        """Use `load`."""
        self._score_steps = tuple(steps)
        self._last = last
        names = (steps[0].input,) if steps else last.output_names()
        self.inputs: frozenset[str] | None = None if None in names else frozenset(name for name in names if name)
        """Names of the model's outputs that it reads; None: the only one there is."""
        self.kind = last.kind
        """The kind of answer: labels, numbers, series, boxes, text, mask or embedding."""
        self.keeps_outputs = last.keeps_outputs
        """Whether answers come with the model's outputs too."""

    @classmethod
    def load(cls, steps: Sequence[Mapping[str, Any]], files: Mapping[str, bytes] | None = None) -> Self:
        """Check steps and read their files. Raises InvalidInput with paths such as "steps[1].labels"."""
        parsed = parse_steps(steps, STEPS)
        *scoring, last = [_with_files(index, step, files or {}) for index, step in enumerate(parsed)]
        if not isinstance(last, AnswerStep):
            kinds = ", ".join(name for name, step in STEPS.items() if issubclass(step, AnswerStep))
            raise InvalidInput.of_field(
                f"steps[{len(scoring)}]", "makes no answer, such as labels", fix=f"End with one of {kinds}."
            )
        score_steps = [_score_step(index, step, last) for index, step in enumerate(scoring)]
        if score_steps:
            for index, name in enumerate([*(step.input for step in score_steps), *last.output_names()]):
                if index and name is not None:
                    raise InvalidInput.of_field(
                        f"steps[{index}].input", "only the first step reads an output of the model"
                    )
        return cls(score_steps, last)

    @property
    def class_count(self) -> int | None:
        """How many classes the labels file names, if there is one."""
        return self._last.class_count if isinstance(self._last, LabelStep | Detect) else None

    def describe(self) -> str:
        """What callers get, in a few words."""
        return self._last.describe_answer()

    def check(self, outputs: Iterable[OutputSpec]) -> None:
        """Check that a model with these outputs can be read so. Raises InvalidInput with paths such as "steps[0]"."""
        declared = {spec.name: spec for spec in outputs}
        if self.inputs is None and len(declared) > 1:
            raise InvalidInput.of_field(
                "steps[0].input", f"is not given, and the model has the outputs {', '.join(declared)}"
            )
        missing = sorted((self.inputs or frozenset()) - declared.keys())
        if missing:
            raise InvalidInput.of_field(
                "steps[0]",
                f"reads {missing[0]!r}, which is not an output of the model",
                fix=f"It has {', '.join(declared)}.",
            )
        taken = declared if self.inputs is None else {name: declared[name] for name in declared if name in self.inputs}
        try:
            self._last.check(taken)
        except Misfit as misfit:
            raise _located(len(self._score_steps), misfit) from None

    def run(self, outputs: Mapping[str, Array], options: Options = _NO_OPTIONS) -> list[Answered]:
        """What every row means.

        A row whose outputs are NaN or infinite has its own error or anomaly, as the package says.

        Raises FailedPrecondition when the model's output is not what the steps are made for: a fault of the package.
        """
        if not self._score_steps:
            return self._last.answers(outputs, options)
        scores = output_scores(outputs, self._score_steps[0].input, f"before {self._last.name}")
        for step in self._score_steps:
            scores = step.scores(scores)
        return self._last.answers({"scores": scores}, options)


def without_meaning(outputs: Mapping[str, Array], count: int) -> list[Answered]:
    """What becomes of `count` rows of a model that declares no answer: an anomaly where an output is no number."""
    sound = np.ones(count, dtype=np.bool_)
    for array in outputs.values():
        if array.dtype.kind == "f" and array.size:
            sound &= np.isfinite(array.reshape(count, -1)).all(axis=1)
    odd = "The model's outputs for this input are not all numbers."
    return [Answered(None, anomaly="" if each else odd) for each in sound.tolist()]


def _score_step(index: int, step: Parameters, last: AnswerStep) -> ScoreStep:
    if not isinstance(step, ScoreStep):
        raise InvalidInput.of_field(f"steps[{index}]", f"{step.name} must be the last step")
    if not last.takes_scores:
        raise InvalidInput.of_field(f"steps[{index}]", f"{step.name} cannot come before {last.name}")
    return step


def _with_files(index: int, step: Parameters, files: Mapping[str, bytes]) -> Parameters:
    try:
        return step.with_files(step.files_from(files))
    except Misfit as misfit:
        raise _located(index, misfit) from None


def _located(index: int, misfit: Misfit) -> InvalidInput:
    return InvalidInput.of_field(
        f"steps[{index}].{misfit.parameter}", misfit.description, fix=misfit.fix, reason="INVALID_PARAMETER"
    )
