"""Outputs of a detector to boxes in the picture that was sent."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, PrivateAttr

from lepton_ai.errors import FailedPrecondition
from lepton_ai.pipeline.frames import Frame
from lepton_ai.pipeline.operation import FileName, Misfit, Name
from lepton_ai.postprocessing.answers import Answered, Box, Boxes
from lepton_ai.postprocessing.box_layouts import (
    Activation,
    BoxLayout,
    ClassScores,
    Floats,
    Found,
    Rows,
    Separate,
    Ssd,
    Yolo,
)
from lepton_ai.postprocessing.labels import Threshold, read_class_names
from lepton_ai.postprocessing.step import AnswerStep, NotANumber, Options, OutputSpec, not_numbers
from lepton_ai.postprocessing.suppression import suppress
from lepton_ai.tensors import Array

Order = Literal["xyxy", "yxyx", "xywh", "cxcywh", "cycxhw"]
Pixels = Annotated[int, Field(ge=1, le=16_384)]

_MAX_CANDIDATES = 10_000
"""Boxes of a picture that are compared with one another: the best; a threshold near 0 lets every place through."""
_DEFAULT_IOU = 0.45
_FOR_LAYOUTS = {
    "input": ("rows", "yolo"),
    "boxes": ("separate", "ssd"),
    "scores": ("separate", "ssd"),
    "classes": ("separate",),
    "count": ("separate",),
    "anchors": ("ssd",),
    "objectness": ("yolo",),
    "background": ("rows", "separate", "ssd"),
}
"""Parameters that not every layout has."""
_NEEDED = {"separate": ("boxes", "scores"), "ssd": ("boxes", "scores", "anchors"), "rows": (), "yolo": ()}


class Detect(AnswerStep):
    """Names objects with their boxes, in pixels of the picture as it was sent."""

    name: ClassVar[str] = "detect"
    kind: ClassVar[str] = "boxes"
    file_parameters: ClassVar[tuple[str, ...]] = ("labels", "anchors")
    layout: Literal["rows", "separate", "yolo", "ssd"] = Field(
        description="How the model lays out what it found. rows: [N, boxes, 6], four numbers of the box, score, class. "
        "separate: outputs for boxes [N, boxes, 4] and scores, [N, boxes] with classes [N, boxes] or "
        "[N, boxes, classes]; [N, boxes] alone of a single class. "
        "yolo: a raw head [N, 4 + classes, places] or [N, places, 4 + classes]. "
        "ssd: offsets [N, anchors, 4] from anchors, and scores [N, anchors, classes]."
    )
    input: Name | None = Field(
        default=None, description="Output with the rows or the YOLO head; by default the only one."
    )
    boxes: Name | None = Field(default=None, description="Output with the boxes or offsets (separate, ssd).")
    scores: Name | None = Field(default=None, description="Output with the scores (separate, ssd).")
    classes: Name | None = Field(default=None, description="Output with the class of each box (separate).")
    count: Name | None = Field(default=None, description="Output that says how many of the boxes are meant (separate).")
    anchors: FileName | None = Field(
        default=None,
        description="File with the anchors [anchors, 4] (ssd), centre and size in the order of the offsets: "
        ".npy, or text with four numbers a line.",
    )
    objectness: bool = Field(
        default=False, description="Whether a YOLO head has a score for there being an object, before those of classes."
    )
    order: Order | None = Field(
        default=None,
        description="The four numbers of a box: corners (xyxy, yxyx), corner and size (xywh), or centre and size "
        "(cxcywh, cycxhw). By default xyxy; for yolo and ssd cxcywh.",
    )
    units: Literal["pixels", "fractions"] = Field(
        default="pixels", description="Boxes in pixels of the model's picture, or in fractions (0..1) of its sides."
    )
    size: tuple[Pixels, Pixels] | None = Field(
        default=None, description="[width, height] of the model's picture; needed for fractions."
    )
    activation: Activation = Field(default="none", description="What makes probabilities of the model's scores.")
    background: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Class that is no object, if there is one; the labels file leaves it out."
    )
    labels: FileName | None = Field(default=None, description="File with one class name a line, UTF-8, in order.")
    threshold: Threshold = Field(default=0.25, description="Score from which a box counts.")
    iou: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="Of two boxes of a class that overlap by more than this (intersection over union) the better one "
        "stays; 1 keeps both. By default 0.45 for yolo and ssd; others come without such boxes.",
    )
    max_boxes: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=100, description="How many at most, the best ones, when the caller does not say."
    )
    not_a_number: NotANumber = Field(
        default="error",
        description="What becomes of a picture whose boxes or scores are NaN or infinite: an error, or those that are "
        "numbers, with an anomaly that says so.",
    )
    _names: tuple[str, ...] = PrivateAttr(default=())
    _anchors: Floats | None = PrivateAttr(default=None)

    def with_files(self, files: Mapping[str, bytes]) -> Self:
        self._check_parameters()
        loaded = self.model_copy()
        if self.labels is not None:
            loaded._names = read_class_names(files[self.labels])
        if self.anchors is not None:
            loaded._anchors = read_anchors(files[self.anchors])
        return loaded

    @property
    def class_count(self) -> int | None:
        """How many classes the labels file names, if there is one."""
        return len(self._names) or None

    def output_names(self) -> tuple[str | None, ...]:
        return self._layout().output_names()

    def check(self, outputs: Mapping[str, OutputSpec]) -> None:
        for spec in outputs.values():
            if spec.dtype in ("BYTES", "BOOL"):
                problem = f"output {spec.name} holds {spec.dtype}, boxes and scores are numbers"
                raise Misfit("layout", problem, fix="Name the outputs that hold them.")
        self._layout().check(outputs, self.class_count)

    def answers(self, outputs: Mapping[str, Array], options: Options) -> list[Answered]:
        found = self._layout().found(outputs, self.class_count)
        most = options.top_k or self.max_boxes
        return [
            self._answer(Found(*row), options.frame(index), most) for index, row in enumerate(zip(*found, strict=True))
        ]

    def describe_answer(self) -> str:
        of = f" of {self.class_count:,} classes" if self.class_count else ""
        return f"boxes{of} with a score from {self.threshold:g}, the {self.max_boxes} best at most"

    def _check_parameters(self) -> None:
        for parameter, layouts in _FOR_LAYOUTS.items():
            if self.layout not in layouts and getattr(self, parameter) not in (None, False):
                raise Misfit(parameter, f"is not for the layout {self.layout}, but for {' and '.join(layouts)}")
        for parameter in _NEEDED[self.layout]:
            if getattr(self, parameter) is None:
                raise Misfit(parameter, f"is needed for the layout {self.layout}")
        if self.layout == "ssd" and self._order not in ("cxcywh", "cycxhw"):
            raise Misfit(
                "order", f"is {self.order}, offsets from anchors are of centre and size", fix="Say cxcywh or cycxhw."
            )
        if self.units == "fractions" and self.size is None:
            fix = "Say [width, height] of the picture that the pipeline makes."
            raise Misfit("size", "is needed for boxes in fractions", fix=fix)
        if self.activation == "softmax" and (self.layout == "rows" or self.classes is not None):
            raise Misfit("activation", "softmax is for scores of all classes, here there is one score a box")

    @property
    def _order(self) -> Order:
        return self.order or ("cxcywh" if self.layout in ("yolo", "ssd") else "xyxy")

    def _layout(self) -> BoxLayout:
        scores = ClassScores(self.activation, self.background)
        if self.layout == "rows":
            return Rows(self.input, scores)
        if self.layout == "yolo":
            return Yolo(self.input, self.objectness, scores)
        assert self.boxes is not None and self.scores is not None  # noqa: S101 - `with_files` says so
        if self.layout == "separate":
            return Separate(self.boxes, self.scores, self.classes, self.count, scores)
        assert self._anchors is not None  # noqa: S101 - `with_files` says so
        return Ssd(self.boxes, self.scores, self._anchors, scores)

    def _answer(self, found: Found, frame: Frame | None, most: int) -> Answered:
        """What one picture shows, from [num, 4], [num] and [num]."""
        sound = bool(np.isfinite(found.scores).all() and np.isfinite(found.boxes).all())
        if not sound and self.not_a_number == "error":
            return Answered(None, error=not_numbers())
        chosen = np.flatnonzero((found.scores >= self.threshold) & (found.scores < np.inf))
        chosen = chosen[np.argsort(-found.scores[chosen], kind="stable")][:_MAX_CANDIDATES]
        classes = found.classes[chosen] if found.classes.ndim == 1 else found.classes[chosen].argmax(axis=1)
        boxes = self._in_pixels(found.boxes[chosen])
        placed = self._placed(boxes, frame)
        # Without an area are those that lie in the border that the pipeline padded.
        objects = (classes >= 0) & np.isfinite(boxes).all(axis=1) & (placed[:, 2:] > placed[:, :2]).all(axis=1)
        chosen, classes, boxes, placed = chosen[objects], classes[objects], boxes[objects], placed[objects]
        kept = suppress(boxes, classes, self._iou, most)
        return self._named(placed[kept], found.scores[chosen[kept]], classes[kept], sound)

    @property
    def _iou(self) -> float:
        return self.iou if self.iou is not None else _DEFAULT_IOU if self.layout in ("yolo", "ssd") else 1.0

    def _in_pixels(self, boxes: Floats) -> npt.NDArray[np.float64]:
        """Left, top, right, bottom in pixels of the model's picture."""
        numbers = boxes.astype(np.float64)
        if self._order in ("yxyx", "cycxhw"):
            numbers = numbers[:, [1, 0, 3, 2]]
        first, second = numbers[:, :2], numbers[:, 2:]
        if self._order == "xywh":
            second = first + second
        elif self._order in ("cxcywh", "cycxhw"):
            first, second = first - second / 2, first + second / 2
        corners: npt.NDArray[np.float64] = np.concatenate((first, second), axis=1)
        if self.units == "fractions" and self.size is not None:
            corners *= np.array([*self.size, *self.size], dtype=np.float64)
        return corners

    def _placed(self, boxes: npt.NDArray[np.float64], frame: Frame | None) -> npt.NDArray[np.float64]:
        """The boxes in the picture as it was sent and within it; without a frame, in the model's."""
        if frame is not None:
            shift, scale = [frame.shift_x, frame.shift_y] * 2, [frame.scale_x, frame.scale_y] * 2
            return _within((boxes - shift) / scale, (frame.width, frame.height))
        return boxes if self.size is None else _within(boxes, self.size)

    def _named(
        self, boxes: npt.NDArray[np.float64], scores: Floats, classes: npt.NDArray[np.integer[Any]], sound: bool
    ) -> Answered:
        names, count = self._names, self.class_count
        if count is not None and (classes >= count).any():
            return Answered(None, error=_unknown_class(int(classes.max()), count))
        answer = Boxes(
            [
                Box(names[index] if count else "", score, left, top, right, bottom, index)
                for (left, top, right, bottom), score, index in zip(
                    boxes.tolist(), scores.tolist(), classes.tolist(), strict=True
                )
            ]
        )
        return Answered(answer, anomaly="" if sound else "The model's outputs for this picture are not all numbers.")


def read_anchors(content: bytes) -> Floats:
    """The anchors [num, 4] of a package file. Raises Misfit."""
    try:
        if content.startswith(b"\x93NUMPY"):
            anchors = np.load(io.BytesIO(content), allow_pickle=False)
        else:
            anchors = np.loadtxt(io.StringIO(content.decode("utf-8-sig").replace(",", " ")), ndmin=2)
    except (ValueError, EOFError, OSError, MemoryError):
        raise Misfit(
            "anchors", "the file is neither a .npy array nor text", fix="Write four numbers a line, or numpy.save them."
        ) from None
    if anchors.ndim != 2 or anchors.shape[1] != 4 or not len(anchors) or anchors.dtype.kind not in "fiu":
        raise Misfit(
            "anchors", f"the file holds {anchors.dtype} {list(anchors.shape)}, anchors are numbers [anchors, 4]"
        )
    if not np.isfinite(anchors).all() or (anchors[:, 2:] <= 0).any():
        raise Misfit(
            "anchors", "the file holds sizes that are not positive numbers", fix="Write centre and size of each."
        )
    return np.asarray(anchors, dtype=np.float32)


def _within(boxes: npt.NDArray[np.float64], size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """The boxes cut to a picture of this size."""
    cut: npt.NDArray[np.float64] = boxes.clip(0, np.array([*size, *size]))
    return cut


def _unknown_class(index: int, count: int) -> FailedPrecondition:
    return FailedPrecondition(
        f"The model found an object of class {index}; the labels file names {count}, from 0.",
        reason="LABELS_MISMATCH",
        fix="Pack the labels file that belongs to the model, and say which class is `background` if one is.",
    )
