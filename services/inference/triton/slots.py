"""The slots of shared memory in which batches go to Triton: handed out, taken back, and given up when in doubt."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from lepton_ai.errors import FailedPrecondition, LeptonError, Unavailable
from lepton_ai.mesh.loops import run_loop
from lepton_ai.mesh.shared_memory import PREFIX, SHARED_MEMORY, remove_leftovers
from services.inference.triton.shared_memory import SharedMemory

_SMALLEST_BYTES = 256 << 10
_LARGEST_SHARE = 4
"""No slot is larger than `max_bytes` divided by this."""
_OLDEST_TRITON = (2, 51)
"""Earlier versions unregister memory while a request still reads it."""
_PAUSE_AFTER_FAILURE_S = 60.0
_PAUSE_WHEN_AWAY_S = 1.0
_RECLAIM_INTERVAL_S = 0.2
_CLOSE_TIMEOUT_S = 1.0
_log = logging.getLogger(__name__)


class RegionRegistry(Protocol):
    """What the pool needs of Triton."""

    async def version(self) -> tuple[int, ...]: ...
    async def register_region(self, name: str, size_bytes: int) -> None: ...
    async def unregister_region(self, name: str) -> None: ...
    async def regions(self) -> Sequence[str]: ...


@dataclass(frozen=True)
class SlotNames:
    """How the slots of one worker are named, so that nobody takes those of another one for leftovers."""

    worker: int = 1
    workers: int = 1

    @property
    def prefix(self) -> str:
        """What the names of this worker's slots begin with."""
        return f"{PREFIX}{self.worker}-"

    def is_leftover(self, name: str) -> bool:
        """Whether a region that Triton has was made by a process that has ended, when this one has made none yet."""
        if not name.startswith(PREFIX):
            return False
        found = re.match(r"(\d+)-", name.removeprefix(PREFIX))
        return found is None or int(found[1]) == self.worker or int(found[1]) > self.workers


class SlotPool:
    """Slots are made in the sizes asked for, up to `max_bytes` in all; a batch that gets none goes inside its message.

    A slot is used again only after its request was answered. When a request ended otherwise, Triton may still be about
    to read it: then the slot is never used again, and is forgotten when Triton has let go of it.
    """

    def __init__(
        self,
        triton: RegionRegistry,
        *,
        max_bytes: int,
        names: SlotNames = SlotNames(),
        directory: Path = SHARED_MEMORY,
    ) -> None:
        self._triton = triton
        self._names = names
        self._max_bytes = max_bytes
        self._directory = directory
        self._free: list[SharedMemory] = []
        self._taken: set[SharedMemory] = set()
        self._held_bytes = 0
        self._adding: asyncio.Task[None] | None = None
        self._reclaiming: set[asyncio.Task[None]] = set()
        self._may_add_at_s = float("-inf")
        self._failed = False
        self._prepared = False
        self._closed = False

    @property
    def held_bytes(self) -> int:
        """Bytes of all slots, including those that Triton may still read though nobody waits any more."""
        return self._held_bytes

    @property
    def free_slots(self) -> int:
        """Slots that can be taken now."""
        return len(self._free)

    def take(self, size_bytes: int) -> SharedMemory | None:
        """The smallest free slot that holds so much; None when there is none; then one is made for the next time."""
        fitting = [slot for slot in self._free if slot.size_bytes >= size_bytes]
        if not fitting:
            self._ask_for(size_bytes)
            return None
        slot = min(fitting, key=lambda each: each.size_bytes)
        self._free.remove(slot)
        self._taken.add(slot)
        return slot

    def give_back(self, slot: SharedMemory) -> None:
        """The request was answered, so Triton reads it no more."""
        self._taken.discard(slot)
        if self._closed:
            slot.close()
        else:
            self._free.append(slot)

    def give_up(self, slot: SharedMemory) -> None:
        """The request ended without an answer, or the slot is not known to Triton (any more)."""
        self._taken.discard(slot)
        slot.close()
        if not self._closed:
            task = run_loop(partial(self._reclaim, slot.name, slot.size_bytes), name=f"reclaim {slot.name}")
            self._reclaiming.add(task)
            task.add_done_callback(self._reclaiming.discard)

    async def close(self) -> None:
        """Unregister everything as far as Triton answers. Slots in use are closed when they come back."""
        self._closed = True
        for task in self._reclaiming:
            task.cancel()
        await asyncio.gather(*self._reclaiming, return_exceptions=True)
        if self._adding is not None:  # not cancelled: a thread that makes a region cannot be
            await self._adding
        free, self._free = self._free, []
        for slot in free:
            slot.close()
        with contextlib.suppress(LeptonError, TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                for slot in free:
                    await self._triton.unregister_region(slot.name)

    def _ask_for(self, size_bytes: int) -> None:
        capacity = max(_SMALLEST_BYTES, 1 << (size_bytes - 1).bit_length())
        busy = self._closed or self._adding is not None or time.monotonic() < self._may_add_at_s
        if busy or capacity > self._max_bytes // _LARGEST_SHARE:
            return
        if self._held_bytes + capacity > self._max_bytes:
            while self._free:  # all are too small: make room for a larger one
                self.give_up(self._free.pop())
            return
        self._held_bytes += capacity
        self._adding = asyncio.get_running_loop().create_task(self._add(capacity))

    async def _add(self, capacity: int) -> None:
        try:
            await self._prepare()
            self._free.append(await self._make(capacity))
            self._failed = False
        except Exception as error:  # noqa: BLE001 - whatever it is, batches go inside messages, and it is logged once
            self._held_bytes -= capacity
            self._note(error)
        finally:
            self._adding = None

    def _note(self, error: Exception) -> None:
        """Log once why memory cannot be shared. An unreachable Triton is no memory fault, and is asked again sooner."""
        if isinstance(error, Unavailable):
            self._may_add_at_s = time.monotonic() + _PAUSE_WHEN_AWAY_S
            return
        self._may_add_at_s = time.monotonic() + _PAUSE_AFTER_FAILURE_S
        if not self._failed:
            reason = error.message if isinstance(error, LeptonError) else getattr(error, "strerror", repr(error))
            _log.warning("Batches go to Triton inside messages, as memory cannot be shared with it: %s", reason)
        self._failed = True

    async def _prepare(self) -> None:
        """Once: check that this Triton can share memory, and remove what killed predecessors left there."""
        if self._prepared:
            return
        version = await self._triton.version()
        if version < _OLDEST_TRITON:
            raise FailedPrecondition(
                f"Triton {'.'.join(map(str, version))} is too old.", fix="Run Triton 2.51 or later."
            )
        await asyncio.to_thread(remove_leftovers, self._directory)
        for name in await self._triton.regions():
            if self._names.is_leftover(name):
                with contextlib.suppress(LeptonError):  # still read for one of the predecessor's requests
                    await self._triton.unregister_region(name)
        self._prepared = True

    async def _make(self, capacity: int) -> SharedMemory:
        slot = await asyncio.to_thread(
            SharedMemory.create, capacity, prefix=self._names.prefix, directory=self._directory
        )
        try:
            await self._triton.register_region(slot.name, slot.size_bytes)
        except BaseException:
            slot.close()
            raise
        slot.hide()
        return slot

    async def _reclaim(self, name: str, size_bytes: int) -> None:
        """Wait until Triton has let go of a slot. A restarted Triton no longer knows the slot, which counts too."""
        while True:
            try:
                await self._triton.unregister_region(name)
            except LeptonError:
                await asyncio.sleep(_RECLAIM_INTERVAL_S)
            else:
                self._held_bytes -= size_bytes
                return
