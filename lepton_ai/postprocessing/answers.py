"""Kinds of answers: what the outputs of a model mean for one example, in plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lepton_ai.errors import LeptonError
from lepton_ai.tensors import Array


class Label(NamedTuple):
    """A class that the model recognised, with its probability (or the model's raw score)."""

    index: int  # type: ignore[assignment] # of tuple's own `index` nobody thinks here
    """Of the class among those of the model, from 0."""
    name: str
    """Empty when the package names no classes."""
    score: float


class Number(NamedTuple):
    """A number that the model predicted, with what it is."""

    name: str
    value: float
    unit: str = ""


class Box(NamedTuple):
    """An object in a picture. Its place is in pixels of the picture as it was sent, upright, from its upper left."""

    name: str
    """Of its class; empty when the package names none."""
    score: float
    left: float
    top: float
    right: float
    bottom: float
    index: int  # type: ignore[assignment] # as of Label
    """Of its class among those of the model, from 0."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Classes, best first; those over their thresholds where a row may have several, which can be none."""

    labels: Sequence[Label]


@dataclass(frozen=True, slots=True)
class Numbers:
    """One or several numbers, in the order of the model's output."""

    numbers: Sequence[Number]


@dataclass(frozen=True, slots=True)
class Series:
    """Values over time: a forecast."""

    names: Sequence[str]
    """Of the variables, one a column of `values`."""
    values: Array = field(compare=False)
    """[steps, variables], floating point."""
    unit: str = ""
    step: str = ""
    """Time from one value to the next, such as "1 h"; empty when the package does not say."""


@dataclass(frozen=True, slots=True)
class Boxes:
    """Objects in a picture, best first."""

    boxes: Sequence[Box]


@dataclass(frozen=True, slots=True)
class Text:
    """What was read or heard."""

    text: str
    score: float | None = None
    """Mean probability of its characters, where the model tells."""


@dataclass(frozen=True, slots=True)
class Mask:
    """A class for every pixel of a picture."""

    classes: npt.NDArray[np.uint16] = field(compare=False)
    """[height, width], of the picture as it was sent where the package maps it back."""
    names: Sequence[str] = ()
    """Of the classes, by index; empty when the package names none."""

    def name_of(self, index: int) -> str:
        """The name of a class, or which one it is."""
        return self.names[index] if index < len(self.names) else f"class {index}"

    def areas(self) -> list[tuple[int, float]]:
        """Each class that is there with its share of the picture, greatest first."""
        classes, counts = np.unique(self.classes, return_counts=True)
        found = sorted(zip(counts.tolist(), classes.tolist(), strict=True), reverse=True)
        return [(index, count / self.classes.size) for count, index in found]


@dataclass(frozen=True, slots=True)
class Embedding:
    """A vector that is near those of similar examples."""

    values: Array = field(compare=False)
    """[dimensions]."""


RowAnswer = Labels | Numbers | Series | Boxes | Text | Mask | Embedding
"""What the outputs for one example mean."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a row of outputs: its answer, and where they are not numbers, what that means."""

    answer: RowAnswer | None
    """None with an error, and for models whose package declares no kind of answer."""
    anomaly: str = ""
    """What is odd about the outputs, in one sentence."""
    error: LeptonError | None = None
    """Why there is no answer."""

    @property
    def labels(self) -> Sequence[Label]:
        """The labels, if that is the kind of answer."""
        return self.answer.labels if isinstance(self.answer, Labels) else ()
