"""Many examples as calls of a good size, and their answers as one answer again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lepton_ai.errors import FieldViolation, InvalidInput, LeptonError, ResourceExhausted, Unavailable
from lepton_ai.file import File
from lepton_ai.prediction import Answer, Input, Prediction, Timings
from lepton_ai.v1 import common_pb2

ROWS_A_CALL = 64
"""More rows make a call hardly cheaper a row, and its first answer later."""
CALLS_AT_ONCE = 4
"""Enough to keep a replica busy while answers travel, with few enough rows to leave room for other callers."""
_BYTES_A_CALL = 4 << 20
_ONE_CALL_ROWS = 1024
_ONE_CALL_BYTES = 32 << 20
"""What servers take at once by default."""

Given = Input | LeptonError
"""An example, or why there is none: what could not be read has its place among the answers all the same."""

_ITEM = re.compile(r"\bitems\[\d+\]\.?")


class Batch:
    """The examples of the next call, as they come."""

    def __init__(self) -> None:
        self.examples: list[Given] = []
        self._size_bytes = 0

    def add(self, example: Given) -> None:
        """One more."""
        self.examples.append(example)
        self._size_bytes += _size_bytes(example)

    def is_full(self, rows: int) -> bool:
        """Whether these are so many, or so large, that they should go."""
        return len(self.examples) >= rows or self._size_bytes >= _BYTES_A_CALL

    def take(self) -> list[Given]:
        """What there is; the next call begins empty."""
        taken, self.examples, self._size_bytes = self.examples, [], 0
        return taken


def in_calls(items: Sequence[common_pb2.Item]) -> Iterator[Sequence[common_pb2.Item]]:
    """The items of one batch: in one call where servers take that, else in many."""
    sizes = [item.ByteSize() for item in items]
    if len(items) <= _ONE_CALL_ROWS and sum(sizes) <= _ONE_CALL_BYTES:
        yield items
        return
    begin, size_bytes = 0, 0
    for index, size in enumerate(sizes):
        if index > begin and (index - begin >= ROWS_A_CALL or size_bytes + size > _BYTES_A_CALL):
            yield items[begin:index]
            begin, size_bytes = index, 0
        size_bytes += size
    yield items[begin:]


def _size_bytes(example: Given) -> int:
    values = example.values() if isinstance(example, Mapping) else (example,)
    return sum(map(_weight, values))


def _weight(value: Any) -> int:
    """Roughly how many bytes a value is when it is sent; a file that cannot be read is an error later on."""
    if isinstance(value, File | Path):
        path = Path(value.path if isinstance(value, File) else value)
        try:
            return path.stat().st_size
        except (OSError, ValueError):
            return 0
    if isinstance(value, list | tuple):
        return len(value) * _weight(value[0]) if value else 0
    return len(value) if isinstance(value, bytes | str) else int(getattr(value, "nbytes", 8))


def join(answers: Sequence[Answer]) -> Answer:
    """The answers to parts of one batch as one: ids and version of the first, timings of the slowest."""
    first = next((answer for answer in answers if answer.version), answers[0])
    shared = [name for name in first.tensors if _fits_in_all(name, answers)]
    return replace(
        first,
        predictions=tuple(each for answer in answers for each in answer.predictions),
        tensors={name: np.concatenate([answer.tensors[name] for answer in answers]) for name in shared},
        timings=max((answer.timings for answer in answers), key=lambda timings: timings.total_ms),
    )


def _fits_in_all(name: str, answers: Sequence[Answer]) -> bool:
    """Whether an output of all answers has rows of one shape."""
    shapes = {answer.tensors[name].shape[1:] if name in answer.tensors else None for answer in answers}
    return len(shapes) == 1


def refused_rows(answer: Answer) -> dict[int, float]:
    """The rows that a replica had no room for, which it may have later, with the seconds after which to come back."""
    return {
        index: each.error.retry_after_s
        for index, each in enumerate(answer.predictions)
        if isinstance(each.error, ResourceExhausted | Unavailable) and each.error.retry_after_s is not None
    }


def with_later(answer: Answer, rows: Iterable[int], later: Answer) -> Answer:
    """The answer with what those rows were answered in a later call."""
    predictions = list(answer.predictions)
    for row, prediction in zip(rows, later.predictions, strict=True):
        predictions[row] = prediction
    return replace(answer, predictions=tuple(predictions))


def with_failed(answer: Answer, failed: Mapping[int, LeptonError]) -> Answer:
    """The answer with a prediction for every example that was never sent, at its place."""
    sent = iter(answer.predictions)
    count = len(answer.predictions) + len(failed)
    whole = [_failure(failed[index]) if index in failed else next(sent) for index in range(count)]
    return replace(answer, predictions=tuple(whole))


def all_failed(model: str, errors: Iterable[LeptonError]) -> Answer:
    """What stands for the answer to a call that failed."""
    predictions = tuple(map(_failure, errors))
    trace_id = next((each.error.trace_id for each in predictions if each.error is not None), "")
    return Answer(
        model=model.partition("@")[0],
        version=0,
        alias="",
        predictions=predictions,
        tensors={},
        prediction_id="",
        request_id="",
        timings=Timings(0.0, 0.0, 0.0, 0.0, 0.0),
        trace_id=trace_id,
    )


def by_itself(prediction: Prediction) -> Prediction:
    """The prediction with an error that no longer says which one of its call's items it is about."""
    return prediction if prediction.error is None else replace(prediction, error=of_one(prediction.error))


def of_one(error: LeptonError) -> LeptonError:
    """An error about an item of a call as one about that example."""
    if not isinstance(error, InvalidInput) or _ITEM.search(error.message) is None:
        return error
    fields = tuple(FieldViolation(_ITEM.sub("", each.field), each.description) for each in error.fields)
    plain = InvalidInput(_ITEM.sub("", error.message), reason=error.reason, fix=error.fix, fields=fields)
    plain.trace_id = error.trace_id
    return plain


def _failure(error: LeptonError) -> Prediction:
    return Prediction(answer=None, error=of_one(error), prediction_id="")
