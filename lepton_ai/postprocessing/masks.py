"""Outputs to masks: a class for every pixel, of the picture as it was sent where its frame is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, PrivateAttr

from lepton_ai.errors import FailedPrecondition, LeptonError
from lepton_ai.pipeline.frames import Frame
from lepton_ai.pipeline.operation import FileName, Misfit
from lepton_ai.postprocessing.answers import Answered, Mask
from lepton_ai.postprocessing.labels import read_class_names
from lepton_ai.postprocessing.step import Options, OutputSpec, ValuesStep, finite_rows
from lepton_ai.tensors import Array

_MAX_CLASSES = np.iinfo(np.uint16).max + 1
_SHAPES = (
    "scores [rows, classes, height, width] (layout CHW) or [rows, height, width, classes] (HWC), or one value a pixel"
)


class NameRegions(ValuesStep):
    """Names the class of every pixel: the best of its scores, its id, or 1 where its only score reaches a threshold."""

    name: ClassVar[str] = "mask"
    kind: ClassVar[str] = "mask"
    file_parameters: ClassVar[tuple[str, ...]] = ("labels",)
    labels: FileName | None = Field(default=None, description="File with one class name a line, UTF-8, in order.")
    layout: Literal["CHW", "HWC"] = Field(
        default="CHW", description="Order of classes, height and width in an output with one score a class."
    )
    threshold: float | None = Field(
        default=None,
        description="For one score a pixel: from where on it is of class 1 instead of 0. 0 for logits, 0.5 for "
        "probabilities.",
    )
    stride: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, description="How many pixels of the model's input, across and down, one of its output stands for."
    )
    _names: tuple[str, ...] = PrivateAttr(default=())

    def with_files(self, files: Mapping[str, bytes]) -> Self:
        if self.labels is None:
            return self
        loaded = self.model_copy()
        loaded._names = read_class_names(files[self.labels])
        if len(loaded._names) > _MAX_CLASSES:
            raise Misfit("labels", f"the file names {len(loaded._names)} classes, a mask has at most {_MAX_CLASSES}")
        return loaded

    def check(self, outputs: Mapping[str, OutputSpec]) -> None:
        for spec in outputs.values():
            shape = tuple(spec.shape)
            if len(shape) not in (3, 4) or spec.dtype == "BYTES":
                raise Misfit("input", f"output {spec.name} is {spec.dtype} {list(shape)}, a mask is made of {_SHAPES}")
            count = self._count(shape)
            if count != -1:
                self._check_values(f"output {spec.name}", count, is_whole="INT" in spec.dtype or spec.dtype == "BOOL")

    def answers(self, outputs: Mapping[str, Array], options: Options) -> list[Answered]:
        array = self.numeric_rows(outputs)
        if array.ndim not in (3, 4) or 0 in array.shape[1:]:
            raise FailedPrecondition(
                f"A mask is made of {_SHAPES}; the model gives {list(array.shape)}.", reason="OUTPUT_SHAPE"
            )
        try:
            self._check_values("the model's output", self._count(array.shape), is_whole=array.dtype.kind in "iub")
        except Misfit as misfit:
            problem = f"Postprocessing: `{misfit.parameter}` {misfit.description}."
            raise FailedPrecondition(problem, reason="OUTPUT_SHAPE", fix=misfit.fix) from None
        classes, scores = self._classes(array)
        return [
            self._row(row, options.frame(index), is_sound)
            for index, (row, is_sound) in enumerate(zip(classes, finite_rows(scores), strict=True))
        ]

    def describe_answer(self) -> str:
        return f"a mask of {len(self._names):,} classes" if self._names else "a mask"

    def _count(self, shape: tuple[int, ...]) -> int:
        """How many values there are a pixel; -1 when that is free."""
        return 1 if len(shape) == 3 else shape[1 if self.layout == "CHW" else 3]

    def _check_values(self, what: str, count: int, *, is_whole: bool) -> None:
        """Check that `count` values a pixel can be read. Raises Misfit."""
        if count == 1 and not is_whole and self.threshold is None:
            fix = "Give the score from which a pixel counts: 0 for logits, 0.5 for probabilities."
            raise Misfit("threshold", f"is missing: {what} has one score a pixel", fix=fix)
        if count > 1 and self.threshold is not None:
            fix = "Leave it out, or correct `layout`."
            raise Misfit("threshold", f"is for one score a pixel, {what} has {count} (layout {self.layout})", fix=fix)
        if count > _MAX_CLASSES:
            raise Misfit("input", f"has {count} classes, a mask at most {_MAX_CLASSES}", fix="Correct `layout`.")
        classes = count if count > 1 else 2 if self.threshold is not None else None
        if self._names and classes not in (None, len(self._names)):
            fix = "Pack the labels file that belongs to the model."
            raise Misfit("labels", f"names {len(self._names)} classes, {what} has {classes}", fix=fix)

    def _classes(self, array: Array) -> tuple[Array, Array]:
        """The class of each pixel, and the score or id that it has, both [rows, height, width]."""
        axis = 1 if self.layout == "CHW" else 3
        if array.ndim == 4 and array.shape[axis] > 1:
            best = np.expand_dims(array.argmax(axis=axis), axis)
            scores = np.take_along_axis(array, best, axis).squeeze(axis)
            # NaN is the greatest to argmax, and minus infinity the best only where there is nothing else.
            return np.where(np.isfinite(scores), best.squeeze(axis), 0), scores
        values = array.squeeze(axis) if array.ndim == 4 else array
        if self.threshold is None:
            return values, values
        reached: Array = np.greater_equal(values, self.threshold)
        return reached, values

    def _row(self, classes: Array, frame: Frame | None, is_sound: bool) -> Answered:
        if problem := self._problem(classes):
            return Answered(None, error=problem)
        mask = classes.astype(np.uint16)
        if frame is not None:
            mask = mapped_back(mask, frame, self.stride)
        return self.answered(Mask(mask, self._names), is_sound)

    def _problem(self, classes: Array) -> LeptonError | None:
        """What is wrong about ids that the model gives as they are."""
        most = len(self._names) or _MAX_CLASSES
        lowest, highest = int(classes.min()), int(classes.max())
        if lowest >= 0 and highest < most:
            return None
        wrong = min(lowest, 0) or highest
        return FailedPrecondition(
            f"The model gives pixels the class {wrong}, there are {most} classes from 0.",
            reason="LABELS_MISMATCH",
            fix="Pack the labels file that belongs to the model.",
        )


def mapped_back(mask: npt.NDArray[np.uint16], frame: Frame, stride: int = 1) -> npt.NDArray[np.uint16]:
    """The mask of the model's input as one of the picture that was sent: each pixel's class is that of its middle.

    Borders that the pipeline added fall away. Where it cut the picture, the nearest pixel that the model saw counts.
    """
    rows = _places(frame.height, frame.scale_y, frame.shift_y, stride, mask.shape[0])
    columns = _places(frame.width, frame.scale_x, frame.shift_x, stride, mask.shape[1])
    picture: npt.NDArray[np.uint16] = mask[rows[:, np.newaxis], columns]
    return picture


def _places(length: int, scale: float, shift: float, stride: int, count: int) -> npt.NDArray[np.intp]:
    """For each pixel along one side of the picture that was sent, the place in the mask."""
    middles = ((np.arange(length) + 0.5) * scale + shift) / stride
    places: npt.NDArray[np.intp] = np.clip(np.floor(middles), 0, count - 1).astype(np.intp)
    return places
