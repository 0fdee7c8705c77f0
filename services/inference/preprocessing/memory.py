"""One replica's memory as its stream uses it: tensors are copied out of it when they arrive, and not held.

Holding them until their batch is written would spare a copy, of some hundredths of a millisecond a photo; but then rows
that wait would lie in memory of which another process decides, and which is full when many wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from lepton_ai.errors import Unavailable
from lepton_ai.mesh.leased_memory.reader import OpenedMemory
from lepton_ai.v1 import preprocess_pb2
from services.inference.preprocessing.made import Made

_WITHIN_S = 0.05
"""Released leases wait so long for a message that goes anyway: one of their own costs more than a tensor."""
_log = logging.getLogger(__name__)


class StreamMemory:
    """Belongs to one event loop, and to one stream."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake` is called when there is something to tell that nothing else carries."""
        self._wake = wake
        self._memory: OpenedMemory | None = None
        self._use = preprocess_pb2.MemoryUse(wanted=True)
        self._timer: asyncio.TimerHandle | None = None
        self.is_due = False
        """Whether what there is to tell should wait for no other message."""

    def open(self, offer: preprocess_pb2.MemoryOffer) -> None:
        """Open the replica's memory where that can be; else its tensors come inside messages, as they did."""
        try:
            memory = OpenedMemory.open(offer)
        except OSError as error:
            _log.debug("a preprocess replica's memory cannot be opened: %s", error.strerror)
            return
        self.close()
        self._memory = memory
        self._use.opened = offer.token
        self._tell_now()

    def take(self, result: preprocess_pb2.ItemResult) -> Made:
        """An answer with its contents, copied. Raises Unavailable when they are there no more."""
        if not result.HasField("lease"):
            return Made(result)
        shared = {
            index: tensor.shared_memory
            for index, tensor in enumerate(result.tensors.tensors)
            if tensor.HasField("shared_memory")
        }
        contents = None if self._memory is None else self._memory.copy(result.lease, list(shared.values()))
        self.drop(result)
        if contents is None:
            raise Unavailable(
                "The tensors were gone before they could be read.", reason="TENSORS_GONE", fix="Try again."
            )
        return Made(result, dict(zip(shared, contents, strict=True)))

    def drop(self, result: preprocess_pb2.ItemResult) -> None:
        """Nobody reads the contents of this answer (any more)."""
        if result.HasField("lease"):
            self._use.released.append(result.lease.number)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(_WITHIN_S, self._tell_now)

    def told(self) -> bytes:
        """What to say with the next message, as part of it; empty when there is nothing."""
        self._stop_timer()
        self.is_due = False
        if not self._use.ListFields():
            return b""
        told = preprocess_pb2.PreprocessStreamRequest(memory=self._use).SerializeToString()
        self._use.Clear()
        return told

    def close(self) -> None:
        """The stream has ended."""
        self._stop_timer()
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def _tell_now(self) -> None:
        self.is_due = True
        self._wake()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
