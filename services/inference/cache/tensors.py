"""Preprocessing that knows what it made before: what a pipeline makes of an item is kept where the package allows it.

It helps when a version changes and its pipeline does not, and models whose answers must not be kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry.context import Context

from lepton_ai.errors import LeptonError
from lepton_ai.v1 import preprocess_pb2
from services.inference.cache.keys import item_key
from services.inference.cache.partition import Partition, Source
from services.inference.call import Call
from services.inference.item import Item
from services.inference.preprocessing.made import Made
from services.inference.preprocessing.streams import Preprocessing

Tensors = Partition[Made]
_Sourced = tuple[Made, Source]

_kept: ContextVar[tuple[Tensors, Call] | None] = ContextVar("lepton_kept_tensors", default=None)


@contextmanager
def keeping(tensors: Tensors, call: Call) -> Iterator[None]:
    """Within the block, and in tasks begun there, preprocessing looks here before it works."""
    token = _kept.set((tensors, call))
    try:
        yield
    finally:
        _kept.reset(token)


class CachedPreprocessing:
    """Preprocessing behind a cache, for calls made within `keeping`; for others nothing changes."""

    def __init__(self, inner: Preprocessing) -> None:
        self._inner = inner

    @property
    def is_there(self) -> bool:
        """Whether a replica of the preprocess service is known."""
        return self._inner.is_there

    async def process(
        self, pipeline: preprocess_pb2.Pipeline, item: Item, *, deadline: float, context: Context
    ) -> Made:
        """Tensors of one item. Raises what preprocessing raises."""
        kept = _kept.get()
        seed = kept[0].seed(kept[1].tenant) if kept is not None else None
        if kept is None or seed is None:
            return await self._inner.process(pipeline, item, deadline=deadline, context=context)
        tensors, call = kept
        if not tensors.on:
            return await self._unkept(tensors, seed, pipeline, item, call.until(deadline))
        key = item_key(seed, item)
        found = tensors.find(key)
        if found is not None:
            return found
        return await self._shared(tensors, key, pipeline, item, call.until(deadline))

    async def _unkept(
        self, tensors: Tensors, seed: bytes, pipeline: preprocess_pb2.Pipeline, item: Item, call: Call
    ) -> Made:
        tensors.overhear_item(seed, item)
        return await self._inner.process(pipeline, item, deadline=call.deadline, context=call.context)

    async def _shared(
        self, tensors: Tensors, key: bytes, pipeline: preprocess_pb2.Pipeline, item: Item, call: Call
    ) -> Made:
        """Join who is already at it, or look whether another replica has it, or do it."""

        async def compute(call: Call) -> Sequence[_Sourced | LeptonError]:
            epoch = tensors.epoch
            shared = await tensors.find_shared((key,))
            if key in shared:
                return [(shared[key], Source.SHARED)]
            began_s = time.monotonic()
            made = await self._inner.process(pipeline, item, deadline=call.deadline, context=call.context)
            # What it says of its own work leaves out waiting; without it, waiting is counted in.
            work_s = made.result.duration_us / 1e6 or time.monotonic() - began_s
            tensors.keep(key, made, epoch=epoch, work_s=work_s)
            return [(made, Source.COMPUTED)]

        flight = tensors.flights.find(key, call)
        joined = flight is not None
        if flight is None:
            flight = tensors.flights.begin((key,), call, compute)
        flight.board(call)
        try:
            landed: _Sourced | LeptonError = await flight.land(key)
        finally:
            flight.leave()
        if isinstance(landed, LeptonError):
            raise landed
        made, source = landed
        tensors.note(Source.JOINED if joined else source)
        return made
