"""When the health service last looked at things, and whether that is too long ago to be told as the present."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class _Look:
    monotonic_s: float
    wall_ns: int


class Freshness:
    """Keeps the time of the last look of each kind. What was looked at long ago says nothing about now."""

    def __init__(
        self,
        limits_s: Mapping[str, float],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`limits_s`: kind of look → how long one holds, in seconds. All kinds count as looked at now."""
        self._limits_s = dict(limits_s)
        self._monotonic = monotonic
        self._wall_ns = wall_ns
        self._looks = dict.fromkeys(limits_s, self._now())

    def looked(self, kind: str) -> None:
        """A look of this kind was taken, whole, just now."""
        self._looks[kind] = self._now()

    @property
    def observed_ns(self) -> int:
        """Wall-clock time at which everything had been looked at: that of the oldest last look."""
        return min(look.wall_ns for look in self._looks.values())

    @property
    def stale_since_ns(self) -> int | None:
        """Wall-clock time of the last look of a kind that has failed to come for too long; None while all are fresh."""
        now_s = self._monotonic()
        late = [look.wall_ns for kind, look in self._looks.items() if now_s - look.monotonic_s > self._limits_s[kind]]
        return min(late, default=None)

    def _now(self) -> _Look:
        return _Look(self._monotonic(), self._wall_ns())
