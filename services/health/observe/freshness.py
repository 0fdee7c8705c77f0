"""When the health service last looked, and whether that is too long ago to describe the present."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class _Look:
    monotonic_s: float
    wall_ns: int


class Freshness:
    """Keeps the time of the last look of each kind. An old look says nothing about now."""

    def __init__(
        self,
        limits_s: Mapping[str, float],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`limits_s`: kind of look → for how many seconds one is valid. All kinds start as just looked at."""
        self._limits_s = dict(limits_s)
        self._monotonic = monotonic
        self._wall_ns = wall_ns
        self._looks = dict.fromkeys(limits_s, self._now())

    def looked(self, kind: str) -> None:
        """Note that a complete look of this kind has just been taken."""
        self._looks[kind] = self._now()

    @property
    def observed_ns(self) -> int:
        """Wall-clock time (ns) since which everything has been looked at: the oldest of the last looks."""
        return min(look.wall_ns for look in self._looks.values())

    @property
    def stale_since_ns(self) -> int | None:
        """Wall-clock time (ns) of the last look of the kind longest overdue; None while all are fresh."""
        now_s = self._monotonic()
        late = [look.wall_ns for kind, look in self._looks.items() if now_s - look.monotonic_s > self._limits_s[kind]]
        return min(late, default=None)

    def _now(self) -> _Look:
        return _Look(self._monotonic(), self._wall_ns())
