"""Takes a few rows of what comes in, at random, so that they can be counted beside the calls."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from lepton_ai.inputs.features import FeatureReader
from lepton_ai.mesh.serving.metadata import PROBE
from lepton_ai.pipeline.reading import Reading
from lepton_ai.pipeline.values import RawValue, raw_inputs
from lepton_ai.tensors import from_wire
from lepton_ai.v1 import common_pb2
from services.inference.item import Item
from services.inference.predict.layers import RoutedCall
from services.inference.predict.request import Inputs
from services.inference.rows import NamedTensor, row_of
from services.inference.version import LoadedVersion

MOST_ROWS = 50
"""Of one version in a turn of a second: a thousand in twenty seconds."""
_MOST_ROWS_A_CALL = 8
_MOST_ROW_BYTES, _MOST_HELD_BYTES = 8 << 20, 32 << 20
_FORGOTTEN_AFTER = 60
"""Turns without a call."""
_FIRST_ROWS = 4.0


@dataclass(frozen=True, slots=True)
class TakenItem:
    """A raw item for the pipeline."""

    item: Item

    def values(self) -> Mapping[str, RawValue]:
        """Its inputs by name. Raises InvalidInput."""
        if isinstance(self.item, common_pb2.Item):
            return raw_inputs(self.item)
        return {name: bytes(value.data) for name, value in self.item.inputs.items()}


@dataclass(frozen=True, slots=True)
class TakenRow:
    """A row of ready tensors."""

    tensors: Sequence[NamedTensor]

    def values(self) -> Mapping[str, RawValue]:
        """Its tensors by name. Raises InvalidInput."""
        return {each.name: from_wire(each.dtype, each.shape, each.data, field=each.name) for each in self.tensors}


Taken = TakenItem | TakenRow


@dataclass
class Gauge:
    """How many calls of one version come, and how many rows of them are taken."""

    loaded: LoadedVersion
    share: float = 1.0
    """Of the calls that are looked at, at random."""
    most_rows: int = 2 * ceil(_FIRST_ROWS)
    seen: int = 0
    """Calls in this turn."""
    calls: int = 0
    """Of which were taken."""
    rows: list[Taken] = field(default_factory=list)
    idle_turns: int = 0

    def next_turn(self, wanted_rows: float) -> list[Taken]:
        """The rows of the turn that ends; in the next one about `wanted_rows` are to be taken, if as much comes."""
        taken, self.rows = self.rows, []
        rows_a_call = len(taken) / self.calls if self.calls else 1.0
        self.idle_turns = 0 if self.seen else self.idle_turns + 1
        self.share = min(1.0, wanted_rows / (rows_a_call * self.seen)) if self.seen else 1.0
        self.most_rows = max(1, ceil(2 * wanted_rows))
        self.seen = self.calls = 0
        return taken


class InputSampler:
    """Belongs to one event loop. A call that is not taken costs a comparison of two numbers."""

    def __init__(self) -> None:
        self._gauges: dict[LoadedVersion, Gauge] = {}
        self._held_bytes = 0

    def offer(self, routed: RoutedCall) -> None:
        """Perhaps take rows of a call that was answered. Probes are no inputs."""
        gauge = self._gauges.get(routed.resolved.loaded)
        if gauge is None:
            gauge = self._gauges[routed.resolved.loaded] = Gauge(routed.resolved.loaded)
        gauge.seen += 1
        if gauge.share < 1.0 and random.random() >= gauge.share:  # noqa: S311 - nobody gains by guessing it
            return
        if len(gauge.rows) >= gauge.most_rows or routed.call.caller.named(PROBE):
            return
        room = min(_MOST_ROWS_A_CALL, gauge.most_rows - len(gauge.rows))
        gauge.calls += 1
        inputs = routed.request.read(routed.runtime)
        if not inputs.items and gauge.loaded.pipeline_proto is not None:  # ready tensors, past the pipeline
            return
        for row, size_bytes in _rows(inputs, room):
            if self._held_bytes + size_bytes <= _MOST_HELD_BYTES:
                self._held_bytes += size_bytes
                gauge.rows.append(row)

    def knows(self, loaded: LoadedVersion) -> bool:
        """Whether the version had calls in the last minute."""
        return loaded in self._gauges

    @property
    def active(self) -> int:
        """Versions that had calls in this turn."""
        return sum(gauge.seen > 0 for gauge in self._gauges.values())

    def next_turn(self, wanted_rows: Mapping[LoadedVersion, float]) -> list[tuple[LoadedVersion, list[Taken]]]:
        """What was taken of each version, and how many rows are wanted of it in the next turn."""
        for loaded in [loaded for loaded, gauge in self._gauges.items() if gauge.idle_turns > _FORGOTTEN_AFTER]:
            del self._gauges[loaded]
        self._held_bytes = 0
        turns = [
            (loaded, gauge.next_turn(wanted_rows.get(loaded, _FIRST_ROWS))) for loaded, gauge in self._gauges.items()
        ]
        return [(loaded, taken) for loaded, taken in turns if taken]


def reader_of(loaded: LoadedVersion) -> FeatureReader:
    """Reads what callers send to a version: raw items with a pipeline, else tensors."""
    if loaded.pipeline_proto is None:
        return FeatureReader(loaded.input_kinds)
    document = json.loads(loaded.pipeline_proto.document_json)
    readings = {
        name: Reading.from_document(each, field=f"readings.{name}")
        for name, each in document.get("readings", {}).items()
    }
    return FeatureReader(loaded.input_kinds, readings)


def _rows(inputs: Inputs, room: int) -> Iterator[tuple[Taken, int]]:
    """Up to `room` rows at random, with their bytes."""
    if inputs.items:
        for place in _places(len(inputs.items), room):
            size_bytes = inputs.items[place].ByteSize()
            if size_bytes <= _MOST_ROW_BYTES:
                yield TakenItem(inputs.items[place]), size_bytes
        return
    count = min((tensor.shape[0] for tensor in inputs.tensors if tensor.shape), default=0)
    size_bytes = sum(tensor.size_bytes for tensor in inputs.tensors) // max(1, count)
    if size_bytes <= _MOST_ROW_BYTES:
        for place in _places(count, room):
            yield TakenRow([row_of(tensor, place) for tensor in inputs.tensors]), size_bytes


def _places(count: int, room: int) -> Sequence[int]:
    return range(count) if count <= room else random.sample(range(count), room)
