"""Inputs that a package allows to be kept, on their way to the health service: sampled, and bounded in bytes."""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter

from lepton_ai.postprocessing import Answered
from lepton_ai.tensors import proto_dtype
from lepton_ai.v1 import common_pb2, feedback_pb2, inference_pb2
from services.inference.item import Items
from services.inference.recording.best import best_of
from services.inference.recording.columns import NO_USER
from services.inference.rows import NamedTensor, row_of
from services.inference.version import LoadedVersion

_MOST_WAITING_BYTES = 16 << 20
_MOST_INPUT_BYTES = 8 << 20
_MESSAGE_BYTES = 2 << 20
_MOST_COMPARED_CALLS, _MOST_COMPARED_BYTES = 64, 64 << 20
"""Of calls that another version is asked for as well."""


class Sent(Protocol):
    """As much of a request as is kept."""

    @property
    def items(self) -> Items: ...
    @property
    def tensors(self) -> Sequence[common_pb2.Tensor]: ...
    @property
    def options(self) -> inference_pb2.PredictOptions: ...


@dataclass(frozen=True)
class _Waiting:
    loaded: LoadedVersion
    input: feedback_pb2.KeptInput
    size_bytes: int


@dataclass(frozen=True)
class _Compared:
    loaded: LoadedVersion
    answer_id: str
    rows: Mapping[int, Answered]
    sent: Sent
    user: bytes
    size_bytes: int


class InputQueue:
    """Chooses inputs and copies them, which costs a call some microseconds; what finds no room is counted, and lost."""

    def __init__(self, metrics: CollectorRegistry) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._taken: list[_Waiting] = []
        self._bytes = 0
        self._compared_bytes = 0
        self._compared: OrderedDict[object, _Compared] = OrderedDict()
        self._lost = Counter(
            "lepton_inputs_not_kept",
            "Inputs that were to be kept for training and were not: too large, or health did not take them in time.",
            registry=metrics,
        )

    def offer(
        self, loaded: LoadedVersion, answer_id: str, rows: Sequence[tuple[int, Answered]], sent: Sent, user: bytes
    ) -> None:
        """Keep those of an answer's inputs that the package says: a random share, and those with a low score."""
        policy = loaded.feedback
        for index, row in rows:
            best = best_of(row)
            if best is not None and best.label and best.value < policy.below_score:
                self._add(loaded, _kept(answer_id, index, row, user, feedback_pb2.KEPT_FOR_LOW_SCORE), sent, index)
            elif best is not None and random.random() < policy.sample:  # noqa: S311 - nobody gains by guessing it
                self._add(loaded, _kept(answer_id, index, row, user, feedback_pb2.KEPT_FOR_SAMPLE), sent, index)

    def expect_other(
        self,
        call: object,
        loaded: LoadedVersion,
        answer_id: str,
        rows: Sequence[tuple[int, Answered]],
        sent: Sent,
        user: bytes,
    ) -> None:
        """Hold the inputs of a call until another version has answered it, too; see `disagreed`."""
        size_bytes = sum(item.ByteSize() for item in sent.items) + sum(len(tensor.data) for tensor in sent.tensors)
        self._compared[call] = _Compared(loaded, answer_id, dict(rows), sent, user, size_bytes)
        self._compared_bytes += size_bytes
        while len(self._compared) > _MOST_COMPARED_CALLS or self._compared_bytes > _MOST_COMPARED_BYTES:
            _, oldest = self._compared.popitem(last=False)
            self._compared_bytes -= oldest.size_bytes

    def disagreed(self, call: object, others: Mapping[int, str]) -> None:
        """Another version has answered: these rows of the call otherwise, and so labelled."""
        compared = self._compared.pop(call, None)
        if compared is None:
            return
        self._compared_bytes -= compared.size_bytes
        for index, other in others.items():
            row = compared.rows.get(index)
            if row is not None and best_of(row) is not None:
                reason = feedback_pb2.KEPT_FOR_DISAGREEMENT
                kept = _kept(compared.answer_id, index, row, compared.user, reason)
                kept.other = other
                self._add(compared.loaded, kept, compared.sent, index)

    def take(self) -> feedback_pb2.KeepInputsRequest | None:
        """The next ones in a message of moderate size; None when there are none. Then call `sent` or `put_back`."""
        taken: list[_Waiting] = []
        size_bytes = 0
        while self._waiting and (not taken or size_bytes + self._waiting[0].size_bytes <= _MESSAGE_BYTES):
            taken.append(self._waiting.popleft())
            size_bytes += taken[-1].size_bytes
        self._taken = taken
        return feedback_pb2.KeepInputsRequest(versions=_by_version(taken)) if taken else None

    def sent(self) -> None:
        """What was taken is with health."""
        self._bytes -= sum(each.size_bytes for each in self._taken)
        self._taken = []

    def put_back(self) -> None:
        """What was taken is to be taken again."""
        self._waiting.extendleft(reversed(self._taken))
        self._taken = []

    def drop(self) -> None:
        """What was taken is not wanted."""
        self._lost.inc(len(self._taken))
        self.sent()

    def _add(self, loaded: LoadedVersion, kept: feedback_pb2.KeptInput, sent: Sent, index: int) -> None:
        size_bytes = sent.items[index].ByteSize() if sent.items else _row_bytes(sent.tensors)
        if size_bytes > _MOST_INPUT_BYTES or self._bytes + size_bytes > _MOST_WAITING_BYTES:
            self._lost.inc()
            return
        if sent.items:
            kept.item.ParseFromString(sent.items[index].SerializeToString())  # type: ignore[arg-type]  # any buffer
            kept.item.ClearField("id")  # the caller's own affair
        else:
            kept.item.CopyFrom(_item_of_row(sent.tensors, index))
        self._waiting.append(_Waiting(loaded, kept, size_bytes))
        self._bytes += size_bytes


def _kept(
    answer_id: str, index: int, row: Answered, user: bytes, kept_for: feedback_pb2.KeptFor.ValueType
) -> feedback_pb2.KeptInput:
    best = best_of(row)
    known_user = b"" if user == NO_USER else user
    kept = feedback_pb2.KeptInput(prediction_id=f"{answer_id}-{index}", user=known_user, kept_for=kept_for)
    if best is not None:
        kept.predicted, kept.score = best.label, best.value
    return kept


def _row_bytes(tensors: Sequence[common_pb2.Tensor]) -> int:
    return sum(len(tensor.data) // max(1, tensor.shape[0]) for tensor in tensors)


def _item_of_row(tensors: Sequence[common_pb2.Tensor], index: int) -> common_pb2.Item:
    item = common_pb2.Item()
    for tensor in tensors:
        row = row_of(NamedTensor(tensor.name, proto_dtype(tensor), tuple(tensor.shape), tensor.data), index)
        value = common_pb2.Tensor(name=tensor.name, dtype=tensor.dtype, shape=row.shape, data=row.data)
        item.inputs[tensor.name].tensor.CopyFrom(value)
    return item


def _by_version(waiting: Sequence[_Waiting]) -> Iterator[feedback_pb2.KeptInputs]:
    versions: dict[LoadedVersion, feedback_pb2.KeptInputs] = {}
    for each in waiting:
        loaded = each.loaded
        if loaded not in versions:
            versions[loaded] = feedback_pb2.KeptInputs(
                model=loaded.model,
                version=loaded.version,
                input_kinds=loaded.input_kinds,
                keep_s=loaded.feedback.retention_s,
            )
        versions[loaded].inputs.append(each.input)
    yield from versions.values()
