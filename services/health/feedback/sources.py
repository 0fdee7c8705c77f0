"""How much each source of feedback sends: bursts of one source count nowhere, and floods are refused."""

from __future__ import annotations

from collections import OrderedDict

_MOST_SOURCES = 10_000
_FLOOD = 10
"""Times the limit."""
_MINUTE_S = 60.0


class Sources:
    """A minute's count for each source, of the sources that were heard last."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def note(self, source: str, now: float) -> int:
        """One more from a source; returns how many it has sent in this minute."""
        since, count = self._counts.pop(source, (now, 0))
        if now - since >= _MINUTE_S:
            since, count = now, 0
        self._counts[source] = (since, count + 1)
        while len(self._counts) > _MOST_SOURCES:
            self._counts.popitem(last=False)
        return count + 1

    def is_burst(self, count: int) -> bool:
        """Whether so many in a minute are more than people send."""
        return count > self._per_minute

    def is_flood(self, count: int) -> bool:
        """Whether so many are not even kept."""
        return count > _FLOOD * self._per_minute
