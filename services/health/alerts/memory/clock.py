"""Times that outlive a process and do not mind a clock that jumps."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

from pydantic import BaseModel, ConfigDict

from lepton_ai.mesh.machine import boot_id


class Stamp(BaseModel):
    """A moment. On one machine, until it boots again, moments are as far apart as its steady clock says."""

    model_config = ConfigDict(frozen=True)

    boot: str
    steady_s: float
    """Linux's monotonic clock: all processes of a machine share it, and nobody can set it."""
    wall_s: float
    """Seconds since 1970, for people, and between machines."""


class Clock:
    """Reads both clocks."""

    def __init__(self, wall: Callable[[], float] = time.time, boot: str | None = None) -> None:
        self._wall = wall
        self._boot = _this_boot() if boot is None else boot

    def now(self) -> Stamp:
        """This moment."""
        return Stamp(boot=self._boot, steady_s=time.monotonic(), wall_s=self._wall())


def elapsed_s(since: Stamp, now: Stamp) -> float:
    """Seconds between two moments, never less than none. Of two machines, or over a boot, the wall clocks say it."""
    if since.boot == now.boot:
        return max(0.0, now.steady_s - since.steady_s)
    return max(0.0, now.wall_s - since.wall_s)


def later(moment: Stamp, seconds: float) -> Stamp:
    """The moment so many seconds after (or before) another."""
    return Stamp(boot=moment.boot, steady_s=moment.steady_s + seconds, wall_s=moment.wall_s + seconds)


@cache
def _this_boot() -> str:
    """Names this boot of the machine; where Linux does not say it, this process: wall clocks count over its restart."""
    return boot_id() or f"process {time.time_ns()}"
