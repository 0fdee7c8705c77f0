"""What is kept of a row: plain values that every protocol's answer is written from, their size, and their wire form."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError

from lepton_ai.pipeline.frames import Frame, read_frames
from lepton_ai.postprocessing import Answered
from lepton_ai.postprocessing.messages import write_answer
from lepton_ai.tensors import proto_dtype
from lepton_ai.v1 import common_pb2, inference_pb2, preprocess_pb2
from services.inference.cache.keys import FORMAT, KEY_BYTES
from services.inference.preprocessing.made import Made
from services.inference.rows import NamedTensor, Rows

V = TypeVar("V")

_ENTRY_BYTES = 1200
"""Memory of an entry beside its content: its objects, its key and its place in the table, as measured."""
_TENSOR_BYTES = 250
_ANSWER_BYTES = 400
_BYTES_PER_WRITTEN = 6
"""An answer's Python objects take so many times what its message takes on the wire."""
_MAX_ANSWERS = 4
"""Different `top_k` of which the answers are kept; further ones are computed from the outputs each time."""
_HEAD = struct.Struct(f"<4sB{KEY_BYTES}sd")
_MAGIC = b"lptc"


@dataclass(slots=True, eq=False)
class Entry:
    """The outputs of one row, and what they mean by the number of labels that was asked for."""

    rows: Rows
    anomalies: Sequence[preprocess_pb2.InputAnomaly] = ()
    frame: Frame | None = None
    answers: dict[int, Answered] = field(default_factory=dict)

    def keep(self, top_k: int, answered: Answered) -> bool:
        """Keep an answer; tells whether it did. An error is none."""
        if answered.error is not None or len(self.answers) >= _MAX_ANSWERS:
            return False
        self.answers[top_k] = answered
        return True


class Codec(Protocol[V]):
    """How a kind of value is weighed and written."""

    def size_bytes(self, value: V) -> int:
        """Memory that it takes, about."""

    def encode(self, value: V) -> bytes:
        """As it is shared with other replicas."""

    def decode(self, data: bytes) -> V:
        """Raises DecodeError or ValueError for what is none."""


class EntryCodec:
    """Of answers: outputs, anomalies and frame. What the outputs mean is computed again, which is cheap and exact."""

    def size_bytes(self, value: Entry) -> int:
        size = _ENTRY_BYTES + value.rows.size_bytes + _TENSOR_BYTES * len(value.rows.tensors)
        size += sum(_ANSWER_BYTES + anomaly.ByteSize() for anomaly in value.anomalies)
        return size + sum(_answer_bytes(answered) for answered in value.answers.values())

    def encode(self, value: Entry) -> bytes:
        message = preprocess_pb2.ItemResult(anomalies=value.anomalies)
        for tensor in value.rows.tensors:
            dtype = common_pb2.DataType.Value(f"DATA_TYPE_{tensor.dtype}")
            message.tensors.tensors.add(name=tensor.name, dtype=dtype, shape=tensor.shape[1:], data=tensor.data)
        if value.frame is not None:
            message.frames.append(value.frame.to_proto(""))
        return message.SerializeToString()

    def decode(self, data: bytes) -> Entry:
        message = preprocess_pb2.ItemResult.FromString(data)
        tensors = tuple(
            NamedTensor(each.name, proto_dtype(each), (1, *each.shape), each.data) for each in message.tensors.tensors
        )
        return Entry(Rows(1, tensors), tuple(message.anomalies), read_frames(message.frames).get(""))


class TensorsCodec:
    """Of what a pipeline made of an item, as the preprocess service answered it."""

    def size_bytes(self, value: Made) -> int:
        return _ENTRY_BYTES + value.size_bytes

    def encode(self, value: Made) -> bytes:
        return value.to_proto().SerializeToString()

    def decode(self, data: bytes) -> Made:
        return Made(preprocess_pb2.ItemResult.FromString(data))


def seal(key: bytes, content: bytes, ttl_s: float) -> bytes:
    """`content` with the key that it belongs to and the time until which it may be used."""
    return _HEAD.pack(_MAGIC, FORMAT, key, time.time() + ttl_s) + content


def unseal(key: bytes, sealed: bytes) -> tuple[bytes, float] | None:
    """The content with the seconds that it may still be used, if it is this key's and its time has not passed.

    That a store answers a question with what belongs to another one would mix up callers' rows, so it is not trusted.
    """
    if len(sealed) < _HEAD.size:
        return None
    magic, form, owner, expires_at = _HEAD.unpack_from(sealed)
    left_s = expires_at - time.time()
    if (magic, form, owner) != (_MAGIC, FORMAT, key) or not left_s > 0:
        return None
    return sealed[_HEAD.size :], left_s


UNREADABLE = (DecodeError, ValueError)
"""What decoding raises."""


def _answer_bytes(answered: Answered) -> int:
    prediction = inference_pb2.Prediction()
    if answered.answer is not None:
        write_answer(answered.answer, prediction)
    return _ANSWER_BYTES + _BYTES_PER_WRITTEN * prediction.ByteSize()
