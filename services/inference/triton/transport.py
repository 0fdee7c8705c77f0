"""Takes a batch to Triton and its answer back: the rows through shared memory where that pays, else in the message."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from tritonclient.grpc import service_pb2

from lepton_ai.errors import LeptonError
from services.inference.rows import NamedTensor, Rows, join
from services.inference.triton.backend import InferenceBackend, Metadata
from services.inference.triton.errors import REGION_LOST
from services.inference.triton.messages import NO_OPTIONS, infer_request, new_request
from services.inference.triton.shared_memory import SharedMemory
from services.inference.triton.slots import SlotPool

_ALIGNMENT_BYTES = 64
_LEAST_BYTES = 16 << 10
"""Below this, naming the memory costs more than sending its content."""


class BatchTransport:
    """One for each process, which has one Triton. Without `slots` everything goes in messages."""

    def __init__(self, backend: InferenceBackend, slots: SlotPool | None = None) -> None:
        self._backend = backend
        self._slots = slots

    async def infer(
        self,
        triton_name: str,
        parts: Sequence[Rows],
        *,
        timeout_s: float,
        metadata: Metadata = (),
        options: Mapping[str, str] = NO_OPTIONS,
    ) -> service_pb2.ModelInferResponse:
        """The answer for all rows of `parts`, in order; they have the same layout. Raises what Triton says."""
        slots, slot = self._slots, self._take_slot(parts)
        if slots is not None and slot is not None:
            end_s = time.monotonic() + timeout_s
            try:
                request = _write(new_request(triton_name, options), parts, slot)
                response = await self._backend.infer(request, timeout_s=timeout_s, metadata=metadata)
            except BaseException as error:
                slots.give_up(slot)
                if not isinstance(error, LeptonError) or error.reason != REGION_LOST:
                    raise
                timeout_s = end_s - time.monotonic()  # Triton was restarted: it has not run the request
            else:
                slots.give_back(slot)
                return response
        request = infer_request(triton_name, join(parts), options)
        return await self._backend.infer(request, timeout_s=timeout_s, metadata=metadata)

    def _take_slot(self, parts: Sequence[Rows]) -> SharedMemory | None:
        if self._slots is None:
            return None
        sizes = [sum(tensor.size_bytes for tensor in column) for column in _columns(parts)]
        # An empty tensor cannot lie in a region, and a request should not go half one way and half the other.
        if sum(sizes) < _LEAST_BYTES or not all(sizes):
            return None
        return self._slots.take(sum(map(_aligned, sizes)))


def _write(
    request: service_pb2.ModelInferRequest, parts: Sequence[Rows], slot: SharedMemory
) -> service_pb2.ModelInferRequest:
    """Copy all rows into the slot, each tensor's one behind the other, and say where they are."""
    count = sum(part.count for part in parts)
    view, start = slot.view, 0
    for column in _columns(parts):
        end = start
        for tensor in column:
            for piece in (tensor.head, tensor.data):
                end, begin = end + len(piece), end
                view[begin:end] = piece
        first = column[0]
        entry = request.inputs.add(name=first.name, datatype=first.dtype, shape=(count, *first.shape[1:]))
        entry.parameters["shared_memory_region"].string_param = slot.name
        entry.parameters["shared_memory_byte_size"].int64_param = end - start
        if start:
            entry.parameters["shared_memory_offset"].int64_param = start
        start = _aligned(end)
    return request


def _columns(parts: Sequence[Rows]) -> Iterable[tuple[NamedTensor, ...]]:
    return zip(*(part.tensors for part in parts), strict=True)


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
