"""A trial of a served model: a golden sample as a call, zeros where there is none, and the verdict on the answer.

The inference service tries a version before it takes calls, the health service for as long as it takes them. Both ask
and judge here, so that what one accepts the other does not refuse.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from lepton_ai.dtypes import ELEMENT_BYTES
from lepton_ai.errors import InvalidInput
from lepton_ai.package.golden import ExpectedTensor, GoldenItem
from lepton_ai.tensors import Array, from_proto
from lepton_ai.v1 import common_pb2, inference_pb2

GOLDEN_MISMATCH = "GOLDEN_MISMATCH"
"""The reason of errors that say that a golden sample was answered wrongly."""

_MAX_SHOWN = 64


class InputSpec(Protocol):
    """One declared input tensor; the first dimension is the batch."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> Sequence[int]: ...


def golden_request(model: common_pb2.ModelRef, sample: GoldenItem, *, piped: bool) -> inference_pb2.PredictRequest:
    """The sample as a call: a raw item when a pipeline takes it (`piped`), else tensors with a batch of one."""
    request = _request(model, top_k=0 if sample.boxes else sample.top_k)  # of boxes all, to look for those wanted
    request.options.outputs.extend(sample.outputs)
    if piped:
        request.items.append(sample.item)
        return request
    for name, value in sample.item.inputs.items():
        tensor = request.tensors.add()
        tensor.CopyFrom(value.tensor)
        tensor.name = name
        tensor.shape[:] = [1, *value.tensor.shape]
    return request


def zeros_request(model: common_pb2.ModelRef, inputs: Iterable[InputSpec]) -> inference_pb2.PredictRequest:
    """A call with `zeros`, for a package without golden samples: any answer to it is a good one."""
    request = _request(model)
    request.tensors.extend(zeros(inputs))
    return request


def zeros(inputs: Iterable[InputSpec]) -> list[common_pb2.Tensor]:
    """One row of zeros for every input, empty texts for BYTES; free dimensions are 1."""
    return [_zeros(spec) for spec in inputs]


def verdict(sample: GoldenItem, answer: inference_pb2.PredictResponse) -> str:
    """Why the answer to `golden_request` is wrong; an empty string when it is right."""
    tensors = {tensor.name: tensor for tensor in answer.tensors}
    for name, expected in sample.outputs.items():
        if problem := _problem(expected, tensors.get(name)):
            return f"output {name!r} is not what the package expects: {problem}"
    return _label_problem(sample, answer) or _reading_problem(sample, answer) or _box_problem(sample, answer)


def _request(model: common_pb2.ModelRef, *, top_k: int = 0) -> inference_pb2.PredictRequest:
    options = inference_pb2.PredictOptions(top_k=top_k, cache=inference_pb2.CACHE_POLICY_BYPASS)
    return inference_pb2.PredictRequest(model=model, options=options)


def _zeros(spec: InputSpec) -> common_pb2.Tensor:
    shape = [1, *(max(1, size) for size in tuple(spec.shape)[1:])]
    width = ELEMENT_BYTES.get(spec.dtype, 4)  # an empty BYTES element is its length alone: four zero bytes
    dtype = common_pb2.DataType.Value(f"DATA_TYPE_{spec.dtype}")
    return common_pb2.Tensor(name=spec.name, dtype=dtype, shape=shape, data=bytes(width * math.prod(shape)))


def _problem(expected: ExpectedTensor, tensor: common_pb2.Tensor | None) -> str:
    if tensor is None:
        return "it is missing from the answer"
    try:
        got = from_proto(tensor)
    except InvalidInput as error:
        return error.message
    wanted = expected.values[np.newaxis]
    if got.shape != wanted.shape:
        return f"its shape is {list(got.shape)}, the golden sample's {list(wanted.shape)}"
    if got.dtype.kind == "O" or wanted.dtype.kind == "O":
        return _text_problem(got, wanted)
    distance = np.abs(got.astype(np.float64) - wanted.astype(np.float64))
    if np.all(distance <= expected.tolerance):
        return ""
    if np.isnan(distance).any():
        return "it holds what is not a number"
    return f"it differs by up to {np.max(distance):.4g}, {expected.tolerance:g} is allowed"


def _text_problem(got: Array, wanted: Array) -> str:
    for given, right in zip(map(_bytes, got.flat), map(_bytes, wanted.flat), strict=True):
        if given != right:
            return f"it is {_shown(given)}, not {_shown(right)}"
    return ""


def _bytes(element: object) -> bytes:
    return element if isinstance(element, bytes) else str(element).encode()


def _shown(text: bytes) -> str:
    return repr(text.decode(errors="replace")[:_MAX_SHOWN])


def _label_problem(sample: GoldenItem, answer: inference_pb2.PredictResponse) -> str:
    if sample.label is None:
        return ""
    labels = _labels(answer)[: sample.top_k]
    if sample.label in labels:
        return ""
    found = ", ".join(labels) or "none"
    return f"the golden sample's label {sample.label!r} is not among the best {sample.top_k}: {found}"


def _reading_problem(sample: GoldenItem, answer: inference_pb2.PredictResponse) -> str:
    if sample.text is None:
        return ""
    read = answer.predictions[0].text.text if answer.predictions else ""
    if read == sample.text:
        return ""
    return f"the golden sample's text is {_shown(sample.text.encode())}, the model reads {_shown(read.encode())}"


def _box_problem(sample: GoldenItem, answer: inference_pb2.PredictResponse) -> str:
    found = answer.predictions[0].detection.boxes if answer.predictions else ()
    for wanted in sample.boxes:
        overlaps = [_overlap(wanted.box, box) for box in found if box.label.name == wanted.label]
        best = max(overlaps, default=0.0)
        if best < wanted.overlap:
            names = ", ".join(dict.fromkeys(box.label.name for box in found)) or "nothing"
            seen = f"the nearest overlaps it by {best:.2f}" if overlaps else f"found is {names}"
            return f"no {wanted.label!r} is found at {list(wanted.box)}: {seen}, {wanted.overlap:g} is wanted"
    return ""


def _overlap(wanted: tuple[float, float, float, float], box: inference_pb2.Box) -> float:
    """Intersection over union."""
    left, top, right, bottom = wanted
    shared = max(0, min(right, box.right) - max(left, box.left)) * max(0, min(bottom, box.bottom) - max(top, box.top))
    return shared / ((right - left) * (bottom - top) + (box.right - box.left) * (box.bottom - box.top) - shared)


def _labels(answer: inference_pb2.PredictResponse) -> list[str]:
    """Names of what was recognised or found in the first row, best first; of a mask its areas, largest first."""
    if not answer.predictions:
        return []
    first = answer.predictions[0]
    boxes = (box.label for box in first.detection.boxes)
    return [*(label.name for label in (*first.classification.labels, *boxes)), *_areas(first.mask)]


def _areas(mask: inference_pb2.Mask) -> list[str]:
    sizes: Counter[int] = Counter()
    for index, length in zip(mask.runs[::2], mask.runs[1::2], strict=True):
        sizes[index] += length
    return [mask.names[index] for index, _ in sizes.most_common() if index < len(mask.names)]
