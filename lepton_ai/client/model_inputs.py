"""What models take, as the platform describes it: how tables and plain texts become examples."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

from lepton_ai.errors import FailedPrecondition, InvalidInput, LeptonError
from lepton_ai.prediction import Input, takes_only_a_file, to_examples
from lepton_ai.v1 import inference_pb2

_BELIEVED_S = 10.0
"""How long a description counts. Short, as a model of texts may replace one of pictures under the same name."""
_MAX_PATH_CHARS = 4096


@dataclass(frozen=True)
class ModelDescription:
    """What a served version takes and answers."""

    model: str
    version: int
    inputs: Mapping[str, str]
    """Kind of each raw input by name: image, sound, text, number, category or tensor. Empty for a model that takes
    tensors alone."""
    read_inputs: frozenset[str] = field(default_factory=frozenset)
    """Inputs whose texts the model's pipeline reads as the table was written that it learned from."""
    answer_kind: str = ""
    """labels, numbers, series, boxes, text, mask or embedding; empty when the outputs are the answer."""
    answer: str = ""
    """What the answer holds, in a few words: "the 5 best of 1,000 classes"."""

    @classmethod
    def of(cls, message: inference_pb2.DescribeModelResponse) -> ModelDescription:
        """The platform's description as a value."""
        return cls(
            message.model_name,
            message.model_version,
            dict(sorted(message.input_kinds.items())),  # which have no order in messages
            frozenset(message.read_inputs),
            message.answer_kind,
            message.answer_description,
        )


Describe = Callable[[], Awaitable[ModelDescription]]
"""Asks the platform for a model's description; raises LeptonError."""


class ModelInputs:
    """Remembers for some seconds what models take."""

    def __init__(self, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._known: dict[str, tuple[float, ModelDescription]] = {}

    async def description(self, model: str, describe: Describe) -> ModelDescription:
        """What the model takes, asked for when it is not known. Raises what `describe` raises."""
        known = self._known.get(model)
        if known is not None and self._now_s() < known[0]:
            return known[1]
        described = await describe()
        self._forget_old()
        self._known[model] = self._now_s() + _BELIEVED_S, described
        return described

    async def texts_are_paths(self, model: str, values: Sequence[Any], describe: Describe) -> bool:
        """Whether plain texts among `values` name files for this model. Asks only when there is a text that could.

        When no description can be had the answer is no: they are texts.
        """
        if not any(isinstance(value, str) and _could_be_a_path(value) for value in values):
            return False
        try:
            return takes_only_a_file((await self.description(model, describe)).inputs)
        except LeptonError:
            return False  # when it is the platform that fails, the prediction itself says so

    def _forget_old(self) -> None:
        self._known = {model: known for model, known in self._known.items() if self._now_s() < known[0]}


def is_table(values: object) -> bool:
    """Whether these are a data set or a data frame, whose columns are the inputs of a model."""
    return hasattr(values, "arrow_schema") or hasattr(values, "columns")


def table_examples(table: Any, described: ModelDescription) -> Iterable[Input]:
    """The rows of a table as examples. Raises InvalidInput when it lacks a column that the model takes."""
    if not described.inputs:
        raise FailedPrecondition(
            f"{described.model} takes tensors, not rows of a table.",
            reason="NO_PIPELINE",
            fix="Make them from the columns and call `infer`.",
        )
    try:
        from lepton_ai.datasets.model_rows import model_rows
    except ModuleNotFoundError as error:
        raise tables_need(error.name or "pyarrow") from error
    return model_rows(table, described.inputs, described.read_inputs)


def listed_examples(values: Any) -> list[Input]:
    """The examples of a list, a series of pandas or Polars, or an array, one by one. Raises InvalidInput for others."""
    return to_examples(values.to_list() if hasattr(values, "to_list") else values)


def check_some(examples: Sequence[Any]) -> None:
    """Raises InvalidInput where there is nothing to predict."""
    if not examples:
        raise InvalidInput.of_field("values", "holds no example", reason="NO_INPUT", fix="Give at least one.")


def many_examples(values: Any) -> Iterable[Any]:
    """The same of anything that is gone through once, such as a generator, which is not read before it is needed."""
    return values if isinstance(values, Iterable) and not isinstance(values, Sized) else listed_examples(values)


def tables_need(package: str) -> FailedPrecondition:
    """The error for a table where the package that reads it is not installed."""
    return FailedPrecondition(
        f"Tables need the package {package}, which is not installed.",
        reason="MISSING_PACKAGE",
        fix="Install what reads tables: pip install 'lepton-serving[train]'.",
    )


def _could_be_a_path(text: str) -> bool:
    return 0 < len(text) <= _MAX_PATH_CHARS and "\n" not in text and "\0" not in text
