"""Tensors of a stream in memory that its client reads, where it can; whatever finds no place goes inside messages."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lepton_ai.mesh.leased_memory import layout
from lepton_ai.mesh.leased_memory.owner import Holder, Lease, LeasedMemory
from lepton_ai.tensors import Array
from lepton_ai.v1 import common_pb2, preprocess_pb2

_LEAST_BYTES = 16 << 10
"""Below this, saying where a tensor lies costs more than sending it."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Placed:
    """Where tensors lie, by name. Those that are not there have found no place."""

    lease: preprocess_pb2.MemoryLease | None = None
    regions: Mapping[str, common_pb2.SharedMemoryRegion] = field(default_factory=dict)


NOWHERE = Placed()


class StreamMemory:
    """The memory as one stream uses it: offered, and written once the client has opened it."""

    def __init__(self, memory: LeasedMemory) -> None:
        self._memory = memory
        self._holder = Holder()
        self._is_offered = False
        self._is_opened = False

    def hear(self, use: preprocess_pb2.MemoryUse) -> preprocess_pb2.MemoryOffer | None:
        """Take note of what the client says; returns what to answer."""
        self._memory.release(use.released, self._holder)
        if use.opened:
            self._is_opened = self._memory.is_this(use.opened)
        if use.wanted and not self._is_offered:
            self._is_offered = True
            return self._memory.offer()
        return None

    def place(self, arrays: Mapping[str, Array]) -> Placed:
        """Write what is large, and say where it is. From any thread."""
        if not self._is_opened:
            return NOWHERE
        large = {name: array for name, array in arrays.items() if _is_large(array)}
        lease = self._memory.take(sum(map(_room, large.values())), self._holder) if large else None
        if lease is None:
            return NOWHERE
        try:
            regions = self._write(large, lease)
        except BaseException:
            self._memory.end(lease)
            raise
        if not self._memory.written(lease):
            return NOWHERE
        return Placed(preprocess_pb2.MemoryLease(number=lease.number, slot=lease.slot), regions)

    def forget(self, lease: preprocess_pb2.MemoryLease) -> None:
        """The client is not going to be told of what was written."""
        self._memory.release((lease.number,), self._holder)

    def leave(self) -> None:
        """The stream has ended."""
        self._memory.leave(self._holder)

    def _write(self, arrays: Mapping[str, Array], lease: Lease) -> dict[str, common_pb2.SharedMemoryRegion]:
        """The only copy on this side: also of an array that does not lie in one piece."""
        view, begin = self._memory.view(lease), 0
        regions = {}
        for name, array in arrays.items():
            place = np.frombuffer(view, array.dtype, count=array.size, offset=begin)
            np.copyto(place.reshape(array.shape), array)
            regions[name] = common_pb2.SharedMemoryRegion(offset_bytes=lease.begin + begin, length_bytes=array.nbytes)
            begin += _room(array)
        return regions


def make_memory(size_bytes: int) -> LeasedMemory | None:
    """Memory for tensors; None where there is to be none, or the system gives none, which is logged."""
    if not size_bytes:
        return None
    try:
        return LeasedMemory(size_bytes)
    except OSError as error:
        _log.warning("tensors go inside messages, as the system gives no memory to share: %s", error.strerror)
        return None


def _is_large(array: Array) -> bool:
    """Whether it is worth it; texts are written otherwise than they lie in memory."""
    return array.nbytes >= _LEAST_BYTES and array.dtype.kind in "biuf"


def _room(array: Array) -> int:
    return -(-array.nbytes // layout.ALIGNMENT_BYTES) * layout.ALIGNMENT_BYTES
