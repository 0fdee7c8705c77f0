"""How many lookups a cache of any size would find: reuse distances of sampled keys.

After SHARDS (Waldspurger et al., FAST 2015): keys are sampled by what they are, so that every use of a sampled key is
seen, and their distances are scaled up. The stack of keys by last use is kept in segments, each as large as all those
before it, so a lookup costs one move a segment and the curve has one point for every doubling of the size.
"""

from __future__ import annotations

from collections import OrderedDict

SAMPLE = 16
"""One key of so many is looked at."""
_MAX_KEYS = 4096
_KEPT_SAMPLES = 1024
"""After so many sampled lookups the older ones begin to count less."""


class HitCurve:
    """Hits of an LRU cache by its size, from a sixteenth of the keys. TinyLFU finds at least about as many."""

    def __init__(self, smallest_bytes: int, largest_bytes: int) -> None:
        """The sizes are `smallest_bytes` and its doublings up to `largest_bytes`, at least."""
        self.sizes = [smallest_bytes]
        while self.sizes[-1] < largest_bytes:
            self.sizes.append(self.sizes[-1] * 2)
        bounds = [smallest_bytes, *(after - before for before, after in zip(self.sizes, self.sizes[1:], strict=False))]
        self._room = [bound / SAMPLE for bound in bounds]
        self._segments: list[OrderedDict[int, int]] = [OrderedDict() for _ in bounds]
        self._used = [0] * len(bounds)
        self._where: dict[int, int] = {}
        self._hits = [0.0] * len(bounds)
        self._lookups = 0.0
        self.samples = 0
        """Sampled lookups since `restart`."""

    def observe(self, key: int, size_bytes: int) -> None:
        """Note a lookup of a sampled key whose value takes, or would take, so many bytes."""
        self.samples += 1
        self._lookups += 1
        segment = self._where.get(key)
        if segment is not None:
            self._hits[segment] += 1
            self._used[segment] -= self._segments[segment].pop(key)
        self._push(key, size_bytes)
        if self._lookups >= 2 * _KEPT_SAMPLES:
            self._lookups /= 2
            self._hits = [hits / 2 for hits in self._hits]

    def restart(self) -> None:
        """Count anew; which keys were used lately stays known."""
        self.samples, self._lookups = 0, 0.0
        self._hits = [0.0] * len(self._hits)

    def hit_ratio(self, size_bytes: int) -> float:
        """Share of the lookups that a cache of this size would find; of sizes in between, that of the next smaller."""
        if not self._lookups:
            return 0.0
        fitting = (hits for size, hits in zip(self.sizes, self._hits, strict=True) if size <= size_bytes)
        return sum(fitting) / self._lookups

    def _push(self, key: int, size_bytes: int) -> None:
        """Put a key on top; what no longer fits into a segment goes down into the next one, and in the end out."""
        moved = [(key, size_bytes)]
        for index, segment in enumerate(self._segments):
            for each, size in moved:
                segment[each] = size
                self._where[each] = index
                self._used[index] += size
            moved = []
            while self._used[index] > self._room[index] and segment:
                oldest = segment.popitem(last=False)
                self._used[index] -= oldest[1]
                moved.append(oldest)
            if not moved:
                break
        for each, _ in moved:
            del self._where[each]
        if len(self._where) > _MAX_KEYS:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        index = max(index for index, segment in enumerate(self._segments) if segment)
        key, size = self._segments[index].popitem(last=False)
        self._used[index] -= size
        del self._where[key]
