"""Answers as protobuf messages, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lepton_ai.errors import InternalError
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
from lepton_ai.tensors import from_proto, to_proto
from lepton_ai.v1 import inference_pb2


def write_answer(answer: RowAnswer, prediction: inference_pb2.Prediction) -> None:
    """Put an answer into a prediction."""
    _WRITERS[type(answer)](answer, prediction)


def read_answer(prediction: inference_pb2.Prediction) -> RowAnswer | None:
    """The answer of a prediction; None when it holds an error or nothing.

    Raises InternalError for a mask whose runs do not fill it, InvalidInput for a tensor that is not what it says.
    """
    kind = prediction.WhichOneof("outcome")
    reader = _READERS.get(kind or "")
    return None if reader is None else reader(getattr(prediction, kind or ""))


def _write_labels(answer: Labels, prediction: inference_pb2.Prediction) -> None:
    classification = prediction.classification
    classification.SetInParent()
    for index, name, score in answer.labels:
        classification.labels.add(index=index, name=name, score=score)


def _read_labels(message: inference_pb2.Classification) -> Labels:
    return Labels(tuple(Label(each.index, each.name, each.score) for each in message.labels))


def _write_numbers(answer: Numbers, prediction: inference_pb2.Prediction) -> None:
    prediction.numbers.SetInParent()
    for name, value, unit in answer.numbers:
        prediction.numbers.numbers.add(name=name, value=value, unit=unit)


def _read_numbers(message: inference_pb2.Numbers) -> Numbers:
    return Numbers(tuple(Number(each.name, each.value, each.unit) for each in message.numbers))


def _write_series(answer: Series, prediction: inference_pb2.Prediction) -> None:
    series = prediction.series
    series.names.extend(answer.names)
    series.values.CopyFrom(to_proto("", answer.values))
    series.unit, series.step = answer.unit, answer.step


def _read_series(message: inference_pb2.Series) -> Series:
    return Series(tuple(message.names), from_proto(message.values), message.unit, message.step)


def _write_boxes(answer: Boxes, prediction: inference_pb2.Prediction) -> None:
    prediction.detection.SetInParent()
    for box in answer.boxes:
        added = prediction.detection.boxes.add(left=box.left, top=box.top, right=box.right, bottom=box.bottom)
        added.label.index, added.label.name, added.label.score = box.index, box.name, box.score


def _read_boxes(message: inference_pb2.Detection) -> Boxes:
    return Boxes(
        tuple(
            Box(each.label.name, each.label.score, each.left, each.top, each.right, each.bottom, each.label.index)
            for each in message.boxes
        )
    )


def _write_text(answer: Text, prediction: inference_pb2.Prediction) -> None:
    prediction.text.text = answer.text
    prediction.text.SetInParent()
    if answer.score is not None:
        prediction.text.score = answer.score


def _read_text(message: inference_pb2.Text) -> Text:
    return Text(message.text, message.score if message.HasField("score") else None)


def _write_mask(answer: Mask, prediction: inference_pb2.Prediction) -> None:
    mask = prediction.mask
    mask.height, mask.width = answer.classes.shape
    mask.runs.extend(_runs(answer.classes.reshape(-1)))
    mask.names.extend(answer.names)


def _read_mask(message: inference_pb2.Mask) -> Mask:
    runs = np.array(message.runs, dtype=np.int64).reshape(-1, 2)
    if runs[:, 1].sum() != message.width * message.height:
        raise InternalError("The runs of the mask do not fill it.", reason="WRONG_MASK")
    classes = np.repeat(runs[:, 0], runs[:, 1]).astype(np.uint16)
    return Mask(classes.reshape(message.height, message.width), tuple(message.names))


def _runs(classes: npt.NDArray[np.uint16]) -> list[int]:
    """Class and length of each run of the same class, in turn."""
    starts = np.flatnonzero(np.diff(classes, prepend=classes[:1] + 1))
    lengths = np.diff(starts, append=classes.size)
    runs: list[int] = np.stack([classes[starts].astype(np.int64), lengths], axis=1).reshape(-1).tolist()
    return runs


def _write_embedding(answer: Embedding, prediction: inference_pb2.Prediction) -> None:
    prediction.embedding.values.CopyFrom(to_proto("", answer.values))


def _read_embedding(message: inference_pb2.Embedding) -> Embedding:
    return Embedding(from_proto(message.values))


_WRITERS: Mapping[type, Callable[[Any, inference_pb2.Prediction], None]] = {
    Labels: _write_labels,
    Numbers: _write_numbers,
    Series: _write_series,
    Boxes: _write_boxes,
    Text: _write_text,
    Mask: _write_mask,
    Embedding: _write_embedding,
}
_READERS: Mapping[str, Callable[[Any], RowAnswer]] = {
    "classification": _read_labels,
    "numbers": _read_numbers,
    "series": _read_series,
    "detection": _read_boxes,
    "text": _read_text,
    "mask": _read_mask,
    "embedding": _read_embedding,
}
