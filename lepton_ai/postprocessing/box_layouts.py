"""How detectors lay out what they found: from the outputs of a batch to boxes, each with its best class and score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from lepton_ai.errors import FailedPrecondition
from lepton_ai.pipeline.operation import Misfit
from lepton_ai.postprocessing.scores import sigmoid, softmax
from lepton_ai.postprocessing.step import OutputSpec, only_output
from lepton_ai.tensors import Array

Activation = Literal["none", "sigmoid", "softmax"]
Floats = npt.NDArray[np.floating[Any]]
_CENTRE_VARIANCE, _SIZE_VARIANCE = 0.1, 0.2
"""What every SSD in use scales its offsets by."""


class Found(NamedTuple):
    """What a model says of every place where it looked, N pictures at once; most of it is nothing."""

    boxes: Floats
    """[N, num, 4], four numbers as the model gives them."""
    scores: Floats
    """[N, num], of the best class of each box."""
    classes: npt.NDArray[np.integer[Any]] | Floats
    """[N, num], the class of each box, less than 0 for no object; or [N, num, classes], the scores of all classes: few
    boxes are taken, and only for these it is worth while to look which class is the best."""


@dataclass(frozen=True, slots=True)
class ClassScores:
    """How scores of classes are read: what makes probabilities of them, and which class is no object."""

    activation: Activation
    background: int | None

    def count(self, columns: int) -> int:
        """Classes of objects among so many columns."""
        return columns - (self.background is not None)

    def best(self, raw: Floats) -> tuple[Floats, Floats]:
        """The best score of [N, num, columns], and what ranks the classes; the background left out of both."""
        # Only softmax needs the scores of all classes; a sigmoid keeps their order, so it runs on the best alone.
        ranks = softmax(raw) if self.activation == "softmax" else raw
        if self.background is not None:
            ranks = np.delete(ranks, self.background, axis=-1)
        best: Floats = ranks.max(axis=-1)
        return (sigmoid(best) if self.activation == "sigmoid" else best), ranks

    def shifted(self, classes: Array) -> npt.NDArray[np.integer[Any]]:
        """Classes that a model names, counted without the background, which becomes -1: no object."""
        whole = classes.astype(np.int64)
        if self.background is None:
            return whole
        return np.where(whole == self.background, -1, whole - (whole > self.background))


class BoxLayout(ABC):
    """One way to lay out boxes, scores and classes in the outputs of a model."""

    @abstractmethod
    def output_names(self) -> tuple[str | None, ...]:
        """Names of the outputs that it takes; None stands for the only one."""

    @abstractmethod
    def check(self, outputs: Mapping[str, OutputSpec], class_count: int | None) -> None:
        """Check that declared outputs can be read so. Raises Misfit."""

    @abstractmethod
    def found(self, outputs: Mapping[str, Array], class_count: int | None) -> Found:
        """What the model found. Raises FailedPrecondition for outputs of another form."""


@dataclass(frozen=True, slots=True)
class Rows(BoxLayout):
    """[N, num, 6]: four numbers of the box, score, class; the model has suppressed overlapping boxes itself."""

    input: str | None
    scores: ClassScores

    def output_names(self) -> tuple[str | None, ...]:
        return (self.input,)

    def check(self, outputs: Mapping[str, OutputSpec], class_count: int | None) -> None:
        for spec in outputs.values():
            shape = tuple(spec.shape)
            if len(shape) != 3 or shape[2] not in (-1, 6, 7):
                wanted = "rows of [four numbers of the box, score, class] are [pictures, boxes, 6]"
                raise _misfit("input", spec, wanted, dimensions=3)

    def found(self, outputs: Mapping[str, Array], class_count: int | None) -> Found:
        rows = _numbers(outputs, self.input, (None, None, None))
        if rows.shape[2] == 7:  # [picture, box, class, score], as exporters of YOLOv7 write it
            return Found(rows[..., 1:5], rows[..., 6], self.scores.shifted(_whole(rows[..., 5])))
        if rows.shape[2] != 6:
            raise _unreadable(self.input, rows, "[pictures, boxes, 6]")
        return Found(rows[..., :4], rows[..., 4], self.scores.shifted(_whole(rows[..., 5])))


@dataclass(frozen=True, slots=True)
class Separate(BoxLayout):
    """Outputs for boxes [N, num, 4] and scores: [N, num] with classes [N, num], or [N, num, classes].

    Where there are neither classes nor scores of several, there is a single class.
    """

    boxes: str
    scores_output: str
    classes: str | None
    count: str | None
    scores: ClassScores

    def output_names(self) -> tuple[str | None, ...]:
        return tuple(name for name in (self.boxes, self.scores_output, self.classes, self.count) if name is not None)

    def check(self, outputs: Mapping[str, OutputSpec], class_count: int | None) -> None:
        boxes = outputs[self.boxes]
        if not _fits(boxes, (-1, -1, 4)):
            raise _misfit("boxes", boxes, "boxes are [pictures, boxes, 4]", dimensions=3)
        if self.classes is None:
            _check_class_scores(outputs[self.scores_output], boxes.shape[1], self.scores, class_count)
        else:
            for parameter, name in (("scores", self.scores_output), ("classes", self.classes)):
                if not _fits(outputs[name], (-1, boxes.shape[1])):
                    hint = "Leave `classes` out when the scores are [pictures, boxes, classes]."
                    raise _misfit(
                        parameter, outputs[name], "one number a box is [pictures, boxes]", dimensions=2, fix=hint
                    )
        if self.count is not None and not (_fits(outputs[self.count], (-1,)) or _fits(outputs[self.count], (-1, 1))):
            raise _misfit("count", outputs[self.count], "how many boxes there are is [pictures]", dimensions=1)

    def found(self, outputs: Mapping[str, Array], class_count: int | None) -> Found:
        boxes = _numbers(outputs, self.boxes, (None, None, 4))
        classes: npt.NDArray[np.integer[Any]] | Floats
        if self.classes is None:
            scores, classes = self.scores.best(_class_scores(outputs, self.scores_output, boxes))
        else:
            scores = _numbers(outputs, self.scores_output, boxes.shape[:2])
            scores = sigmoid(scores) if self.scores.activation == "sigmoid" else scores
            classes = self.scores.shifted(_whole(_numbers(outputs, self.classes, boxes.shape[:2])))
        if self.count is not None:
            meant = np.arange(boxes.shape[1]) < self._counts(outputs, len(boxes))
            boxes, scores = np.where(meant[..., np.newaxis], boxes, 0), np.where(meant, scores, -1)
        return Found(boxes, scores, classes)

    def _counts(self, outputs: Mapping[str, Array], pictures: int) -> Floats:
        array = _numbers(outputs, self.count)
        if array.size != pictures:
            raise _unreadable(self.count, array, "[pictures]")
        return array.reshape(pictures, 1)


@dataclass(frozen=True, slots=True)
class Yolo(BoxLayout):
    """A raw YOLO head: four numbers of the box, with `objectness` one more, and a score for every class.

    [N, num, 4 + classes] or [N, 4 + classes, num]. Where the labels do not tell which, there are more places than
    numbers for each.
    """

    input: str | None
    objectness: bool
    scores: ClassScores

    def output_names(self) -> tuple[str | None, ...]:
        return (self.input,)

    def check(self, outputs: Mapping[str, OutputSpec], class_count: int | None) -> None:
        for spec in outputs.values():
            shape = tuple(spec.shape)
            if len(shape) != 3 or (self._axis(shape, class_count) is None and -1 not in shape[1:]):
                fix = "Pack the labels file that belongs to the model; `objectness` says whether there is such a score."
                raise _misfit("input", spec, self._wanted(class_count), dimensions=3, fix=fix)

    def found(self, outputs: Mapping[str, Array], class_count: int | None) -> Found:
        head = _numbers(outputs, self.input, (None, None, None))
        axis = self._axis(head.shape, class_count)
        if axis is None:
            raise _unreadable(self.input, head, self._wanted(class_count))
        columns = head if axis == 2 else head.swapaxes(1, 2)
        scores, classes = self.scores.best(columns[..., 4 + self.objectness :])
        if self.objectness:
            objects = columns[..., 4]
            scores = scores * (sigmoid(objects) if self.scores.activation == "sigmoid" else objects)
        return Found(columns[..., :4], scores, classes)

    def _axis(self, shape: tuple[int, ...], class_count: int | None) -> int | None:
        """Which axis holds the numbers of one place; None when neither can."""
        beside = 4 + self.objectness
        if class_count is not None:
            return next((axis for axis in (1, 2) if shape[axis] == beside + class_count), None)
        possible = [axis for axis in (1, 2) if shape[axis] > beside]
        return min(possible, key=shape.__getitem__, default=None)

    def _wanted(self, class_count: int | None) -> str:
        numbers = f"{'4 + 1' if self.objectness else '4'} + {'classes' if class_count is None else class_count}"
        return f"a YOLO head is [pictures, places, {numbers}] or [pictures, {numbers}, places]"


@dataclass(frozen=True, slots=True, eq=False)
class Ssd(BoxLayout):
    """A raw SSD head: offsets [N, num, 4] from anchors [num, 4], and scores [N, num, classes]."""

    boxes: str
    scores_output: str
    anchors: Floats
    """[num, 4]: centre and size, in the order and the units of the model's offsets."""
    scores: ClassScores

    def output_names(self) -> tuple[str | None, ...]:
        return (self.boxes, self.scores_output)

    def check(self, outputs: Mapping[str, OutputSpec], class_count: int | None) -> None:
        boxes = outputs[self.boxes]
        if not _fits(boxes, (-1, -1, 4)):
            raise _misfit("boxes", boxes, "offsets from anchors are [pictures, anchors, 4]", dimensions=3)
        if boxes.shape[1] not in (-1, len(self.anchors)):
            problem = f"are {len(self.anchors)}, output {boxes.name} has {boxes.shape[1]} boxes"
            raise Misfit("anchors", problem, fix="Pack the anchors that belong to the model.")
        _check_class_scores(outputs[self.scores_output], len(self.anchors), self.scores, class_count)

    def found(self, outputs: Mapping[str, Array], class_count: int | None) -> Found:
        offsets = _numbers(outputs, self.boxes, (None, len(self.anchors), 4))
        scores, classes = self.scores.best(_class_scores(outputs, self.scores_output, offsets))
        centres, sizes = self.anchors[:, :2], self.anchors[:, 2:]
        with np.errstate(over="ignore"):  # infinity, which the caller looks for
            decoded = (
                centres + offsets[..., :2] * _CENTRE_VARIANCE * sizes,
                sizes * np.exp(offsets[..., 2:] * _SIZE_VARIANCE),
            )
        return Found(np.concatenate(decoded, axis=-1), scores, classes)


def _check_class_scores(spec: OutputSpec, places: int, scores: ClassScores, class_count: int | None) -> None:
    is_plain = class_count in (None, 1) and scores.background is None and _fits(spec, (-1, places))
    if not is_plain and not _fits(spec, (-1, places, -1)):
        fix = "Name the output with the `classes` when there is one score a box; a single class needs none."
        count = "" if places < 0 else f", here of {places} boxes"
        raise _misfit("scores", spec, f"scores of classes are [pictures, boxes, classes]{count}", fix=fix)
    columns = 1 if is_plain else spec.shape[2]
    if columns == 1 and scores.activation == "softmax":
        problem = f"softmax makes 1 of every score of a single class, of which output {spec.name} is"
        raise Misfit("activation", problem, fix="Say sigmoid for logits, none for probabilities.")
    if scores.background is not None and -1 < columns <= scores.background:
        problem = f"is {scores.background}, output {spec.name} has {columns} classes, from 0"
        raise Misfit("background", problem, fix=f"Give one from 0 to {columns - 1}, or none.")
    if class_count is not None and columns != -1 and scores.count(columns) != class_count:
        without = "" if scores.background is None else " beside the background"
        problem = f"names {class_count} classes, output {spec.name} has {scores.count(columns)}{without}"
        fix = "Pack the labels file that belongs to the model, without the background; `background` says which that is."
        raise Misfit("labels", problem, fix=fix)


def _class_scores(outputs: Mapping[str, Array], name: str, boxes: Floats) -> Floats:
    """Scores [N, num, classes] of boxes [N, num, 4]; those of a single class may come as [N, num]."""
    if np.ndim(only_output(outputs, name, "detect")) == 2:
        return _numbers(outputs, name, boxes.shape[:2])[..., np.newaxis]
    return _numbers(outputs, name, (*boxes.shape[:2], None))


def _fits(spec: OutputSpec, wanted: tuple[int, ...]) -> bool:
    shape = tuple(spec.shape)
    return len(shape) == len(wanted) and all(
        -1 in pair or pair[0] == pair[1] for pair in zip(shape, wanted, strict=True)
    )


def _misfit(parameter: str, spec: OutputSpec, wanted: str, *, dimensions: int = 0, fix: str = "") -> Misfit:
    """The refusal of a declared output. With one of its `dimensions` too few, that is most likely the batch."""
    shape = list(spec.shape)
    if len(shape) == dimensions - 1:
        fix = (
            f"If the model gives this output for one picture, without the batch dimension, declare its shape as "
            f"{[-1, *shape]} with `batched: false`, and max_batch_size: 1. Better, export it with a batch dimension."
        )
    return Misfit(parameter, f"output {spec.name} is {shape}; {wanted}", fix=fix or "Choose the `layout` that fits.")


def _numbers(outputs: Mapping[str, Array], name: str | None, wanted: tuple[int | None, ...] | None = None) -> Floats:
    """An output as floats, of this shape if given, None in it standing for any length. Raises FailedPrecondition."""
    array = np.asarray(only_output(outputs, name, "detect"))
    fits = wanted is None or (
        array.ndim == len(wanted) and all(want in (None, have) for want, have in zip(wanted, array.shape, strict=True))
    )
    if not fits or array.dtype.kind not in "fiub":
        raise _unreadable(name, array, str(["any" if size is None else size for size in wanted or ()]))
    return array.astype(np.float64 if array.dtype == np.float64 else np.float32, copy=False)


def _unreadable(name: str | None, array: Array, wanted: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"The step detect wants {wanted}; {name or 'the output'!r} is {array.dtype} {list(array.shape)}.",
        reason="OUTPUT_SHAPE",
        fix="Correct `layout` and the outputs that the step detect names in the package.",
    )


def _whole(classes: Floats) -> npt.NDArray[np.integer[Any]]:
    """Classes that a model gives as floats; what is no number becomes -1."""
    return np.where(np.isfinite(classes), np.rint(np.nan_to_num(classes)), -1).astype(np.int64)
