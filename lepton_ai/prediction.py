"""What predictions take and give, as plain values: Python inputs to protobuf, protobuf answers to dataclasses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from lepton_ai.errors import InternalError, InvalidInput, LeptonError
from lepton_ai.file import FILE_KINDS, File
from lepton_ai.mesh.errors import from_status
from lepton_ai.outputs import Outputs
from lepton_ai.plain import Scalar, nearest_float, picture_file, plain_value
from lepton_ai.postprocessing.answers import RowAnswer
from lepton_ai.postprocessing.messages import read_answer
from lepton_ai.tensors import Array, checked_text, from_proto, to_proto
from lepton_ai.v1 import common_pb2, inference_pb2

RawInput = (
    bytes | str | float | int | bool | Path | File | np.ndarray[Any, Any] | np.generic | Scalar
    | list[Any] | tuple[Any, ...]
)  # fmt: skip
"""One value. A `Path` or `File` stands for the content of that file; a text is a text, whatever it looks like.
A list of numbers, or of such lists, is the array that it writes."""
Input = RawInput | Mapping[str, RawInput | None]
"""One example: a value for a pipeline with a single input, else values by input name; None for a missing one."""

_SENDABLE = "Send a text, a number, a boolean, bytes, a path, a NumPy array or a list of numbers."


@dataclass(frozen=True)
class Timings:
    """Where the time of a call went, in milliseconds."""

    preprocess_ms: float
    queue_ms: float
    compute_ms: float
    postprocess_ms: float
    total_ms: float


@dataclass(frozen=True)
class Prediction(Outputs):
    """The answer for one example."""

    answer: RowAnswer | None
    error: LeptonError | None
    """Why there is no answer, for one example among several."""
    prediction_id: str
    """What feedback on this answer refers to."""
    anomalies: tuple[str, ...] = ()
    """What was odd about the input, one sentence each."""
    outputs: Mapping[str, Array] = field(default_factory=dict, compare=False)  # its id tells it from all others
    """What the model gave, by name, without the batch dimension: all outputs for models whose outputs are the answer,
    for others those that were asked for; empty with an error."""


@dataclass(frozen=True)
class Answer:
    """The answer to one call."""

    model: str
    version: int
    alias: str
    predictions: tuple[Prediction, ...]
    """One for every example, in order; empty for tensor calls."""
    tensors: Mapping[str, Array]
    """Output tensors by name; the first dimension is the batch."""
    prediction_id: str
    request_id: str
    timings: Timings
    trace_id: str = field(default="")
    """Set when the call was traced."""
    cached_rows: int = 0
    """How many of the rows were not computed for this call, but known or just being computed for another one."""
    variant: str = ""
    """Which variant of the version answered; empty: the version itself."""


def takes_only_a_file(kinds: Mapping[str, str]) -> bool:
    """Whether a single picture or sound is all that a model takes, by the kinds of its inputs: then texts are paths."""
    return len(kinds) == 1 and all(kind in FILE_KINDS for kind in kinds.values())


def to_examples(values: Iterable[Input]) -> list[Input]:
    """The examples of a batch one by one. Raises InvalidInput for what is a single one, or holds none.

    A text is not the list of its letters, and a data frame not that of its columns.
    """
    is_single = isinstance(values, str | bytes | bytearray | Mapping) or hasattr(values, "columns")
    if isinstance(values, Iterable) and not is_single and getattr(values, "ndim", 1) > 0:
        return list(values)
    raise InvalidInput.of_field(
        "values",
        f"is a {type(values).__name__}, not a list of examples",
        fix="Send a list, [value] for a single one, or a data frame.",
    )


def to_item(value: Input, *, item_id: str = "", texts_are_paths: bool = False) -> common_pb2.Item:
    """An example as a message. Raises InvalidInput for files that cannot be read and types that cannot be sent.

    Values are taken as data frames and databases give them: Decimal, dates, NumPy's scalars, UUID; what says that there
    is no value, such as None or pandas' NA, is not sent. Names that are numbers are sent as texts.
    `texts_are_paths`: an example that is a plain text names a file, see `takes_only_a_file`; never one given by name.
    """
    if texts_are_paths and isinstance(value, str):
        value = File(value)
    if hasattr(value, "columns"):
        fix = "Send its rows: predict_batch(model, table). What is one array: table.to_numpy()."
        raise InvalidInput.of_field("inputs", "is a table, not an example", fix=fix)
    if hasattr(value, "to_dict") and hasattr(value, "index"):  # a row of a data frame of pandas
        value = value.to_dict()
    values = value if isinstance(value, Mapping) else {"": value}
    plain = {checked_text(str(name), "inputs"): plain_value(each) for name, each in values.items()}
    inputs = {name: _to_value(each, name) for name, each in plain.items() if each is not None}
    return common_pb2.Item(id=item_id, inputs=inputs)


def _to_value(value: RawInput, name: str) -> common_pb2.Value:
    if isinstance(value, Path | File):
        return common_pb2.Value(data=(File(value) if isinstance(value, Path) else value).read())
    if isinstance(value, bytes):
        return common_pb2.Value(data=value)
    if isinstance(value, str):
        return common_pb2.Value(text=checked_text(value, _field(name)))
    if isinstance(value, bool | np.bool_):
        return common_pb2.Value(boolean=bool(value))
    if isinstance(value, int | np.integer):
        return whole_number(int(value), name)
    if isinstance(value, float | np.floating):
        return common_pb2.Value(number=float(value))
    if isinstance(value, np.ndarray) or _is_of_numbers(value):
        return common_pb2.Value(tensor=to_proto(name, value))
    if (picture := picture_file(value)) is not None:
        return common_pb2.Value(data=picture)
    raise InvalidInput.of_field(_field(name), f"{type(value).__name__} cannot be sent", fix=_SENDABLE)


def _is_of_numbers(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether a list, or the lists in it, begin with a number: others would hold several examples, such as texts."""
    if not isinstance(value, list | tuple):
        return False
    first: Any = value
    while isinstance(first, list | tuple) and first:
        first = first[0]
    return isinstance(first, float | int | np.number)


def whole_number(value: int, name: str) -> common_pb2.Value:
    """An integer where it fits; else an unsigned one as the array without dimensions that can hold it, else a float."""
    if -(1 << 63) <= value < 1 << 63:
        return common_pb2.Value(integer=value)
    if 0 <= value < 1 << 64:
        return common_pb2.Value(tensor=to_proto(name, np.array(value, dtype=np.uint64)))
    return common_pb2.Value(number=nearest_float(value))


def _field(name: str) -> str:
    return f"inputs.{name}" if name else "inputs"


def to_answer(response: inference_pb2.PredictResponse, *, trace_id: str = "") -> Answer:
    """A response as plain values. Raises InternalError when its tensors do not belong to its predictions."""
    tensors = {tensor.name: from_proto(tensor) for tensor in response.tensors}
    predictions = tuple(_to_predictions(response.predictions, tensors))
    for error in (each.error for each in predictions if each.error is not None):
        error.trace_id = trace_id
    return Answer(
        model=response.model_name,
        version=response.model_version,
        alias=response.model_alias,
        predictions=predictions,
        tensors=tensors,
        prediction_id=response.prediction_id,
        request_id=response.request_id,
        timings=_to_timings(response.timings),
        trace_id=trace_id,
        cached_rows=response.cached_rows,
        variant=response.model_variant,
    )


def _to_predictions(messages: Sequence[inference_pb2.Prediction], tensors: Mapping[str, Array]) -> Iterator[Prediction]:
    """Predictions with their rows of the tensors, which hold one for each that has no error, in order."""
    answered = sum(message.WhichOneof("outcome") != "error" for message in messages)
    _check_rows(tensors if messages else {}, answered)
    row = 0
    for message in messages:
        if message.WhichOneof("outcome") == "error":
            yield _to_prediction(message, {})
        elif message.outputs:  # which differ in shape from those of the others
            yield _to_prediction(message, {tensor.name: from_proto(tensor) for tensor in message.outputs})
        else:
            # The ellipsis keeps a row without dimensions an array.
            yield _to_prediction(message, {name: array[row, ...] for name, array in tensors.items()})
            row += 1


def _check_rows(tensors: Mapping[str, Array], count: int) -> None:
    for name, array in tensors.items():
        if array.shape[:1] != (count,):
            raise InternalError(
                f"The answer's output {name!r} has shape {list(array.shape)} for {count} predictions without error.",
                reason="WRONG_ROW_COUNT",
            )


def _to_prediction(message: inference_pb2.Prediction, outputs: Mapping[str, Array]) -> Prediction:
    return Prediction(
        answer=read_answer(message),
        error=from_status(message.error) if message.WhichOneof("outcome") == "error" else None,
        prediction_id=message.prediction_id,
        anomalies=tuple(anomaly.message for anomaly in message.anomalies),
        outputs=outputs,
    )


def _to_timings(message: common_pb2.Timings) -> Timings:
    return Timings(
        preprocess_ms=message.preprocess_us / 1e3,
        queue_ms=message.queue_us / 1e3,
        compute_ms=message.compute_us / 1e3,
        postprocess_ms=message.postprocess_us / 1e3,
        total_ms=message.total_us / 1e3,
    )
