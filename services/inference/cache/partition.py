"""What is kept of one version's rows: where it is looked for, what that saves, and whether it is worth it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from lepton_ai.package import Caching
from services.inference.cache.capacity import SMALLEST_BYTES, Demand
from services.inference.cache.curve import SAMPLE, HitCurve
from services.inference.cache.entries import UNREADABLE, Codec
from services.inference.cache.flights import Flights
from services.inference.cache.keys import item_fingerprint, item_key, tenant_seed
from services.inference.cache.local import LocalStore
from services.inference.cache.shared.harmless import SharedCache
from services.inference.item import Item

V = TypeVar("V")

FIRST_BYTES = 8 << 20
"""Capacity before anything is known."""
_ENOUGH_SAMPLES = 256
_LEAST_RATIO = 0.01
"""A cache that would find less than this is switched off."""
_TENANTS = 1024


class Source(StrEnum):
    """Where a row came from, fastest first; the value of the span attribute `lepton.cache`."""

    LOCAL = "hit_l1"
    SHARED = "hit_l2"
    JOINED = "miss_joined"
    """Another call was just asking the same."""
    COMPUTED = "miss"


@dataclass(slots=True)
class Counts:
    """What happened to the rows that were looked up."""

    lookups: int = 0
    local_hits: int = 0
    shared_hits: int = 0
    joined: int = 0
    saved_s: float = 0.0


@dataclass(frozen=True)
class Owner:
    """Whose rows they are."""

    model: str
    version: int
    kind: str
    """"answers" or "tensors"."""


class Partition(Generic[V]):
    """The part of the cache that holds one kind of value of one version. It is dropped with the version."""

    def __init__(
        self,
        owner: Owner,
        seed: bytes,
        rules: Caching,
        codec: Codec[V],
        *,
        shared: SharedCache | None,
        max_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`max_bytes`: the most that it could ever get."""
        self.owner = owner
        self.group = seed.hex()[:32]
        self.flights: Flights[Any] = Flights()
        self.counts = Counts()
        self.on = True
        self.reason = "it is not known yet whether inputs repeat"
        self.epoch = 0
        """Grows whenever all is dropped: what was begun before is not kept afterwards."""
        self.curve = HitCurve(SMALLEST_BYTES, max(SMALLEST_BYTES, max_bytes))
        self.lookup_s = 20e-6
        """What making a key and looking it up takes, lately."""
        self._work_s: float | None = None
        self._seed = seed
        self._seeds: dict[str, bytes] = {"": seed}
        self._rules = rules
        self._codec = codec
        self._shared = shared
        self._clock = clock
        self._local: LocalStore[V] = LocalStore(min(FIRST_BYTES, max(1, max_bytes)))
        self._usual_bytes = 4096.0
        self._judged_at_s, self._judged_lookups, self._rate_per_s = clock(), 0, 0.0
        self._closed = False
        if shared is not None:
            shared.use(self.group)

    def seed(self, tenant: str) -> bytes | None:
        """What keys of this tenant's rows are made with; None when they must not be kept, as nobody says whose they
        are."""
        if not self._rules.isolate:
            return self._seed
        if not tenant:
            return None
        known = self._seeds.get(tenant)
        if known is None:
            if len(self._seeds) >= _TENANTS:
                self._seeds.clear()
            known = self._seeds[tenant] = tenant_seed(self._seed, tenant)
        return known

    def find(self, key: bytes) -> V | None:
        """The value if this process has it. Counts as a lookup."""
        self.counts.lookups += 1
        if key[0] % SAMPLE == 0:
            self.curve.observe(_short(key), int(self._usual_bytes))
        value = self._local.get(key)
        if value is not None:
            self.counts.local_hits += 1
            self.counts.saved_s += self.work_s
        return value

    def took(self, seconds: float, rows: int) -> None:
        """Note how long it took to make the keys of rows and look them up."""
        self.lookup_s += 0.05 * (seconds / rows - self.lookup_s)

    def overhear_item(self, seed: bytes, item: Item) -> None:
        """Look at one item in sixteen while the cache is off, without making keys of the others."""
        if item_fingerprint(item) % SAMPLE == 0:
            self.overhear(item_key(seed, item))

    def overhear(self, key: bytes) -> None:
        """Note a sampled input while the cache is off."""
        self.curve.observe(_short(key), int(self._usual_bytes))

    async def find_shared(self, keys: Sequence[bytes]) -> Mapping[bytes, V]:
        """Values that other replicas have left, of those that are worth asking for; they are kept here too."""
        shared = self._shared
        if shared is None or not keys or (self._work_s is not None and self._work_s < 2 * shared.usual_s):
            return {}
        epoch = self.epoch
        values: dict[bytes, V] = {}
        for key, found in (await shared.get(self.group, keys)).items():
            try:
                value = values[key] = self._codec.decode(found.content)
            except UNREADABLE:
                continue
            self._put_local(key, value, epoch, found.ttl_s)
        return values

    def keep(self, key: bytes, value: V, *, epoch: int, work_s: float) -> None:
        """Keep a value that took so much work, for this replica and others, unless all was dropped since `epoch`."""
        known = self._work_s
        # The least is nearest to the work itself: the rest was waiting.
        self._work_s = work_s if known is None else known + (0.25 if work_s < known else 0.01) * (work_s - known)
        if self._put_local(key, value, epoch, self._rules.ttl_s) and self._shared is not None:
            self._shared.put(self.group, key, self._codec.encode(value), ttl_s=self._rules.ttl_s)

    def weigh_again(self, key: bytes, value: V) -> None:
        """Note that a value that is kept has grown."""
        self._local.reweigh(key, self._codec.size_bytes(value))

    def note(self, source: Source) -> None:
        """Count a row that was not in this process."""
        if source is Source.SHARED:
            self.counts.shared_hits += 1
        elif source is Source.JOINED:
            self.counts.joined += 1
        if source is not Source.COMPUTED:
            self.counts.saved_s += self.work_s

    @property
    def work_s(self) -> float:
        """What a row takes that is not found, in seconds without waiting; 0 as long as none was computed."""
        return self._work_s or 0.0

    def judge(self) -> None:
        """Decide whether to be on, by what the largest cache would find and what looking costs."""
        now = self._clock()
        lookups, seconds = self.counts.lookups - self._judged_lookups, now - self._judged_at_s
        if seconds > 0:
            self._rate_per_s = lookups / seconds
        self._judged_at_s, self._judged_lookups = now, self.counts.lookups
        if not self.is_known:
            return
        ratio = self.curve.hit_ratio(self.curve.sizes[-1])
        least = max(_LEAST_RATIO, self.lookup_s / self.work_s if self.work_s else 0.0)
        if self.on and ratio < least:
            pays = f"{least:.1%} would pay" if least < 1 else "computing is as fast as looking"
            self._switch(on=False, reason=f"inputs do not repeat enough: {ratio:.1%} of those sampled, {pays}")
        elif not self.on and ratio > 2 * least:
            self._switch(on=True, reason=f"inputs repeat: {ratio:.0%} of those sampled")
        elif self.on:
            self.reason = f"inputs repeat: {ratio:.0%} of those sampled"

    @property
    def is_known(self) -> bool:
        """Whether enough inputs were seen to say what memory would bring."""
        return self.curve.samples >= _ENOUGH_SAMPLES

    def demand(self) -> Demand:
        """What more memory would bring."""
        ratios = [self.curve.hit_ratio(size) for size in self.curve.sizes]
        return Demand(self.curve.sizes, ratios, max(self._rate_per_s * self.work_s, 1e-9))

    def resize(self, capacity_bytes: int) -> None:
        """Change the capacity."""
        self._local.resize(capacity_bytes)

    def settle(self) -> None:
        """Let go of what has expired."""
        self._local.settle()

    def drop(self) -> int:
        """Forget all that is kept in this process; returns its bytes."""
        dropped = self._local.size_bytes
        self.epoch += 1
        self._local.clear()
        return dropped

    def close(self) -> None:
        """The version is gone: forget all, and keep nothing that comes later."""
        self._closed = True
        self.drop()
        if self._shared is not None:
            self._shared.leave(self.group)

    @property
    def size_bytes(self) -> int:
        """Memory taken."""
        return self._local.size_bytes

    @property
    def entries(self) -> int:
        """Values kept, about."""
        return self._local.entries

    @property
    def capacity_bytes(self) -> int:
        """Memory that may be taken."""
        return self._local.capacity_bytes

    def _put_local(self, key: bytes, value: V, epoch: int, ttl_s: float) -> bool:
        if self._closed or epoch != self.epoch or not self.on:
            return False
        size_bytes = self._codec.size_bytes(value)
        self._usual_bytes += 0.05 * (size_bytes - self._usual_bytes)
        self._local.put(key, value, size_bytes=size_bytes, ttl_s=ttl_s)
        return True

    def _switch(self, *, on: bool, reason: str) -> None:
        self.on, self.reason = on, reason
        self.curve.restart()
        if not on:
            self.drop()


def _short(key: bytes) -> int:
    return int.from_bytes(key[:8], "little")
