"""The caches of a replica: one for each version that serves and may be kept, their memory, and what they say of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lepton_ai.mesh.loops import run_loop
from lepton_ai.package import Caching
from services.inference.cache.capacity import SMALLEST_BYTES, budget_bytes, share
from services.inference.cache.entries import Entry, EntryCodec, TensorsCodec
from services.inference.cache.keys import answers_seed, tensors_seed
from services.inference.cache.layer import Kept
from services.inference.cache.partition import Owner, Partition
from services.inference.cache.shared.harmless import SharedCache
from services.inference.cache.shared.store import SharedStore
from services.inference.cache.tensors import Tensors
from services.inference.routing.routes import ModelRoutes
from services.inference.version import LoadedVersion

ANSWERS = "answers"
TENSORS = "tensors"
STEP_S = 2.0
"""How often memory is shared out and caches are switched on and off."""
AnyPartition = Partition[Any]


class Caches:
    """Follows which versions serve: a version that no longer does has its memory let go before the next call."""

    def __init__(
        self,
        *,
        max_bytes: int,
        store: SharedStore | None = None,
        budget: Callable[[int, int], int] = budget_bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`max_bytes` of this process may be taken; 0: nothing is kept. `budget(max_bytes, used)` says how much of it
        there is now. Construct it inside a running event loop."""
        self.max_bytes = max_bytes
        self.shared = None if store is None or not max_bytes else SharedCache(store, on_drop=self._dropped_elsewhere)
        self._store = store
        self._budget = budget
        self._clock = clock
        self._kept: dict[LoadedVersion, Kept] = {}
        self._tensors: dict[bytes, Tensors] = {}
        self._planned: dict[AnyPartition, int] = {}
        self._governor: asyncio.Task[None] | None = None
        self._drops: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to govern, and to speak with the shared cache."""
        if self.shared is not None:
            self.shared.start()
        self._governor = run_loop(self._govern, name="govern caches")

    async def close(self) -> None:
        """Let everything go. What replicas share stays for the others."""
        tasks = [*self._drops, *([self._governor] if self._governor is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for partition in self.partitions():
            partition.close()
        self._kept.clear()
        self._tensors.clear()
        if self.shared is not None:
            await self.shared.close()
        elif self._store is not None:
            await self._store.close()

    def kept(self, loaded: LoadedVersion) -> Kept | None:
        """What may be kept of a version; None for one that keeps nothing or does not serve."""
        return self._kept.get(loaded)

    def follow(self, models: Mapping[str, ModelRoutes]) -> None:
        """Keep answers of the versions of these routes, and forget those of all others at once.

        What is kept of a version that is being healed stays, as it is the same version when it serves again.
        """
        serving = {loaded for model in models.values() for loaded in model.loaded}
        waiting = {loaded for loaded in self._kept if _is_awaited(loaded, models.get(loaded.model))}
        wanted = {loaded for loaded in serving | waiting if loaded.caching.keeps} if self.max_bytes else set()
        gone = self._kept.keys() - wanted
        new = wanted - self._kept.keys()
        for loaded in gone:
            self._forget(self._kept.pop(loaded).answers)
        for loaded in new:
            self._kept[loaded] = Kept(self._answers_of(loaded), self._tensors_of(loaded))
        if gone:
            used = {id(kept.tensors) for kept in self._kept.values()}
            for seed in [seed for seed, tensors in self._tensors.items() if id(tensors) not in used]:
                self._forget(self._tensors.pop(seed))

    def partitions(self, model: str = "") -> Iterator[AnyPartition]:
        """All that is kept, or what is kept of one model: answers by model and version, then tensors."""
        found: list[AnyPartition] = [kept.answers for kept in self._kept.values() if kept.answers is not None]
        found.sort(key=lambda each: (each.owner.model, each.owner.version))
        found += self._tensors.values()
        for partition in found:
            if model in ("", partition.owner.model):
                yield partition

    async def clear(self, model: str = "") -> int:
        """Forget what is kept of a model, or of all; returns the bytes let go here. Where replicas share a cache, the
        others forget it too. Raises Unavailable, after having forgotten it here, when they cannot be told."""
        partitions = list(self.partitions(model))
        dropped = sum(partition.drop() for partition in partitions)
        if self.shared is not None:
            for partition in partitions:
                await self.shared.drop(partition.group)
        return dropped

    def step(self) -> None:
        """Switch caches on and off, and give each its memory."""
        for partition in self.partitions():
            partition.settle()
            partition.judge()
        active = [partition for partition in self.partitions() if partition.on]
        free = self._budget(self.max_bytes, sum(partition.size_bytes for partition in active))
        active.sort(key=lambda each: -each.demand().saved_per_s)
        fed, hungry = active[: free // SMALLEST_BYTES], active[free // SMALLEST_BYTES :]
        for partition in hungry:
            partition.resize(1)
        sizes = share({partition: partition.demand() for partition in fed if partition.is_known}, free)
        self._resize(fed, sizes, free)

    def _resize(self, fed: Sequence[AnyPartition], sizes: dict[AnyPartition, int], free: int) -> None:
        """Change capacities: at once where memory is short, else when two steps have found the same."""
        unknown = [partition for partition in fed if partition not in sizes]
        left = free - sum(sizes.values())
        for partition in unknown:  # nothing is known of them yet, so they keep what they have as far as there is room
            sizes[partition] = max(SMALLEST_BYTES, min(partition.capacity_bytes, left // len(unknown)))
        short = sum(partition.capacity_bytes for partition in fed) > free
        for partition, size in sizes.items():
            if short or partition.capacity_bytes < SMALLEST_BYTES or self._planned.get(partition) == size:
                partition.resize(size)
        self._planned = sizes

    async def _govern(self) -> None:
        while True:
            await asyncio.sleep(STEP_S)
            self.step()

    def _answers_of(self, loaded: LoadedVersion) -> Partition[Entry] | None:
        if not loaded.caching.answers:
            return None
        owner = Owner(loaded.model, loaded.version, ANSWERS)
        return self._make(owner, answers_seed(loaded), loaded.caching, EntryCodec())

    def _tensors_of(self, loaded: LoadedVersion) -> Tensors | None:
        seed = tensors_seed(loaded)
        if not loaded.caching.tensors or seed is None:
            return None
        if seed not in self._tensors:
            owner = Owner(loaded.model, loaded.version, TENSORS)
            self._tensors[seed] = self._make(owner, seed, loaded.caching, TensorsCodec())
        return self._tensors[seed]

    def _make(self, owner: Owner, seed: bytes, rules: Caching, codec: Any) -> AnyPartition:
        return Partition(owner, seed, rules, codec, shared=self.shared, max_bytes=self.max_bytes, clock=self._clock)

    def _forget(self, partition: AnyPartition | None) -> None:
        if partition is None:
            return
        self._planned.pop(partition, None)
        partition.close()
        if self.shared is not None:
            task = asyncio.get_running_loop().create_task(self.shared.drop_soon(partition.group))
            self._drops.add(task)
            task.add_done_callback(self._drops.discard)

    def _dropped_elsewhere(self, group: str) -> None:
        for partition in self.partitions():
            if partition.group == group:
                partition.drop()


def _is_awaited(loaded: LoadedVersion, model: ModelRoutes | None) -> bool:
    """Whether a version is to serve again, and no other package has taken its number."""
    return model is not None and loaded.version in model.waiting and loaded.version not in model.serving
