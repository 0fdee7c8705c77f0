"""What answers have in common: what the model's outputs mean, and the outputs themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lepton_ai.errors import FailedPrecondition, LeptonError
from lepton_ai.postprocessing.answers import (
    Box,
    Boxes,
    Embedding,
    Label,
    Labels,
    Mask,
    Number,
    Numbers,
    RowAnswer,
    Series,
    Text,
)
from lepton_ai.tensors import Array

if TYPE_CHECKING:
    from lepton_ai.drawing import Image, Picture

_NUMBERS = "fiub"
"""The kinds of numpy types that hold numbers; truth values count as 0 and 1."""
_NUMERIC = (Numbers, Series, Embedding)


class Outputs:
    """What a model gave for one example."""

    answer: RowAnswer | None
    """What the outputs mean, as the package declares it; None where it declares nothing, and with an error."""
    outputs: Mapping[str, Array]
    error: LeptonError | None

    @property
    def labels(self) -> tuple[Label, ...]:
        """Classes, best first; empty for models without, or where none reaches its threshold."""
        return tuple(self.answer.labels) if isinstance(self.answer, Labels) else ()

    @property
    def label(self) -> str:
        """Name of the best class; empty for models without classes."""
        return self.labels[0].name if self.labels else ""

    @property
    def numbers(self) -> tuple[Number, ...]:
        """Numbers with their names and units; empty for models whose package names none."""
        return tuple(self.answer.numbers) if isinstance(self.answer, Numbers) else ()

    @property
    def series(self) -> Series | None:
        """Values over time, of a model that forecasts."""
        return self.answer if isinstance(self.answer, Series) else None

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Objects in a picture, best first; empty for models that look for none, or where none was found."""
        return tuple(self.answer.boxes) if isinstance(self.answer, Boxes) else ()

    def draw(self, picture: Picture) -> Image:
        """A copy of the picture, upright, with what was found: boxes with names and scores, or a mask's areas.

        `picture` is what was sent: an image file's path or content, a Pillow image, or pixels uint8 [height, width, 3].
        Raises FailedPrecondition for an answer of another kind, the example's own error where it failed, and
        InvalidInput for what is no picture, or not the one that a mask is of.
        """
        from lepton_ai.drawing import draw_boxes, draw_mask  # Pillow only where something is drawn

        if isinstance(self.answer, Boxes):
            return draw_boxes(picture, self.answer.boxes)
        if isinstance(self.answer, Mask):
            return draw_mask(picture, self.answer)
        raise self.error or FailedPrecondition(
            "The answer has no boxes and no mask to draw.",
            reason="NOTHING_TO_DRAW",
            fix="Draw the answers of a model whose package ends with the step detect or mask.",
        )

    @property
    def text(self) -> str | None:
        """What was read or heard, of a model that writes."""
        return self.answer.text if isinstance(self.answer, Text) else None

    @property
    def mask(self) -> Mask | None:
        """A class for every pixel, of a model that divides pictures into areas."""
        return self.answer if isinstance(self.answer, Mask) else None

    @property
    def embedding(self) -> Array | None:
        """A vector [dimensions], of a model that makes inputs comparable."""
        return self.answer.values if isinstance(self.answer, Embedding) else None

    @property
    def values(self) -> Array:
        """The numbers of the answer: those that the package names, a forecast [steps, variables], an embedding.

        Else the array of the only output. Raises FailedPrecondition where there are several outputs or none, and the
        example's own error where it failed.
        """
        match self.answer:
            case Numbers(numbers):
                return np.array([number.value for number in numbers])
            case Series(values=values) | Embedding(values=values):
                return values
        return self.outputs[self._only()]

    @property
    def value(self) -> float:
        """The number of an answer that is a single one: a regression's value, a rating, a score.

        Raises FailedPrecondition where it is not, and the example's own error where it failed.
        """
        array = self.values
        if array.size != 1 or array.dtype.kind not in _NUMBERS:
            content = "text" if array.dtype.kind == "O" else array.dtype
            what = "it" if isinstance(self.answer, _NUMERIC) else f"output {self._only()!r}"
            raise FailedPrecondition(
                f"The answer is no single number: {what} is {content} {list(array.shape)}.",
                reason="NOT_ONE_NUMBER",
                fix="Take the whole array: `values`.",
            )
        return float(array.item())

    def _only(self) -> str:
        if len(self.outputs) == 1:
            return next(iter(self.outputs))
        if self.outputs:
            raise FailedPrecondition(
                f"The answer has several outputs: {', '.join(self.outputs)}.",
                reason="SEVERAL_OUTPUTS",
                fix=f"Take one by its name: outputs[{next(iter(self.outputs))!r}].",
            )
        raise self.error or FailedPrecondition(
            "The answer has no numbers of its own and no outputs.",
            reason="NO_OUTPUTS",
            fix='Take `labels`, `boxes` or `text`, or ask for outputs by name: predict(model, value, outputs=["…"]).',
        )
