"""Outputs that are the answer themselves: numbers with names and units, series over time, embeddings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from lepton_ai.errors import FailedPrecondition
from lepton_ai.pipeline.operation import Misfit
from lepton_ai.postprocessing.answers import Answered, Embedding, Number, Numbers, Series
from lepton_ai.postprocessing.step import Options, OutputSpec, ValuesStep, finite_rows
from lepton_ai.tensors import Array

Caption = Annotated[str, Field(min_length=1, max_length=128)]
Unit = Annotated[str, Field(max_length=32)]


class NameNumbers(ValuesStep):
    """Names the numbers of an output, with their units: a price, a rating, several measures at once."""

    name: ClassVar[str] = "numbers"
    kind: ClassVar[str] = "numbers"
    keeps_outputs: ClassVar[bool] = True
    names: Annotated[tuple[Caption, ...], Field(max_length=10_000)] = Field(
        default=(), description="What each number is, in order; by default the output's name."
    )
    units: Annotated[tuple[Unit, ...], Field(max_length=10_000)] = Field(
        default=(), description="Unit of each number, in order; an empty one for none."
    )

    def check(self, outputs: Mapping[str, OutputSpec]) -> None:
        if self.units and len(self.units) != max(1, len(self.names)):
            raise Misfit("units", f"are {len(self.units)} for {max(1, len(self.names))} names")
        for spec in outputs.values():
            sizes = tuple(spec.shape)[1:]
            known = -1 not in sizes
            if known and self.names and int(np.prod(sizes)) != len(self.names):
                raise Misfit("names", f"are {len(self.names)}, output {spec.name} has {int(np.prod(sizes))} a row")
            if spec.dtype == "BYTES":
                raise Misfit("input", f"output {spec.name} holds texts, not numbers")

    def answers(self, outputs: Mapping[str, Array], options: Options) -> list[Answered]:
        array = self.numeric_rows(outputs)
        flat = array.reshape(len(array), math.prod(array.shape[1:]))
        names = self._captions(flat.shape[1], self.input or next(iter(outputs)))
        units = self.units or ("",) * len(names)
        return [
            self.answered(Numbers([Number(*each) for each in zip(names, row, units, strict=True)]), sound)
            for row, sound in zip(flat.astype(float).tolist(), finite_rows(flat), strict=True)
        ]

    def _captions(self, count: int, output: str) -> tuple[str, ...]:
        if not self.names:
            return (output,) if count == 1 else tuple(f"{output}[{index}]" for index in range(count))
        if len(self.names) != count:
            raise FailedPrecondition(
                f"The package names {len(self.names)} numbers, the model answers {count} a row.",
                reason="NAMES_MISMATCH",
                fix="Correct `names` of the numbers step.",
            )
        return self.names

    def describe_answer(self) -> str:
        units = self.units or ("",) * len(self.names)
        return ", ".join(f"{name} ({unit})" if unit else name for name, unit in zip(self.names, units, strict=True))


class NameSeries(ValuesStep):
    """Takes an output [rows, steps] or [rows, steps, variables] as values over time: a forecast."""

    name: ClassVar[str] = "series"
    kind: ClassVar[str] = "series"
    keeps_outputs: ClassVar[bool] = True
    names: Annotated[tuple[Caption, ...], Field(max_length=1000)] = Field(
        default=(), description="What each variable is, in order; by default the output's name."
    )
    unit: Unit = Field(default="", description="Unit of the values.")
    step: Annotated[str, Field(max_length=32)] = Field(
        default="", description='Time from one value to the next, such as "1 h".'
    )

    def check(self, outputs: Mapping[str, OutputSpec]) -> None:
        for spec in outputs.values():
            shape = tuple(spec.shape)
            if len(shape) not in (2, 3):
                raise Misfit("input", f"output {spec.name} is {list(shape)}, a series [rows, steps, variables]")
            variables = 1 if len(shape) == 2 else shape[2]
            if self.names and variables not in (-1, len(self.names)):
                raise Misfit("names", f"are {len(self.names)}, output {spec.name} has {variables} variables")

    def answers(self, outputs: Mapping[str, Array], options: Options) -> list[Answered]:
        array = self.numeric_rows(outputs)
        if array.ndim not in (2, 3):
            raise FailedPrecondition(
                f"A series is [rows, steps, variables], the model gives {list(array.shape)}.", reason="OUTPUT_SHAPE"
            )
        columns = array if array.ndim == 3 else array[:, :, np.newaxis]
        values = columns.astype(array.dtype if array.dtype.kind == "f" else np.float64)
        output = self.input or next(iter(outputs))
        count = values.shape[2]
        names = self.names or ((output,) if count == 1 else tuple(f"{output}[{index}]" for index in range(count)))
        return [
            self.answered(Series(names, row, self.unit, self.step), sound)
            for row, sound in zip(values, finite_rows(values), strict=True)
        ]

    def describe_answer(self) -> str:
        every = f", one every {self.step}" if self.step else ""
        of = f" of {', '.join(self.names)}" if self.names else ""
        return f"values over time{of}{every}"


class TakeEmbedding(ValuesStep):
    """Takes an output [rows, dimensions] as a vector that is near those of similar inputs."""

    name: ClassVar[str] = "embedding"
    kind: ClassVar[str] = "embedding"
    normalize: bool = Field(default=False, description="Scale each vector to length 1, so that dot products compare.")

    def check(self, outputs: Mapping[str, OutputSpec]) -> None:
        for spec in outputs.values():
            if len(tuple(spec.shape)) != 2:
                problem = f"output {spec.name} is {list(spec.shape)}, an embedding [rows, dimensions]"
                raise Misfit("input", problem)

    def answers(self, outputs: Mapping[str, Array], options: Options) -> list[Answered]:
        array = self.numeric_rows(outputs)
        vectors = array.reshape(len(array), math.prod(array.shape[1:]))
        if self.normalize:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        return [self.answered(Embedding(row), sound) for row, sound in zip(vectors, finite_rows(vectors), strict=True)]

    def describe_answer(self) -> str:
        return "a vector of length 1" if self.normalize else "a vector"
