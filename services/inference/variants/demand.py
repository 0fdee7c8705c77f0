"""Which variants calls have asked for lately: only those are loaded, and one that nobody asks for is unloaded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from services.inference.version import VersionKey


class Demand:
    """Shared by the data plane, which asks, and the reconciler, which loads. Belongs to one event loop."""

    def __init__(self, *, idle_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`idle_s`: how long a variant stays loaded that nobody asks for."""
        self._idle_s = idle_s
        self._clock = clock
        self._asked_s: dict[VersionKey, float] = {}
        self._changed: Callable[[], None] = _nothing

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have `changed` called when another variant is asked for, or one not any more."""
        self._changed = changed

    def ask(self, key: VersionKey) -> None:
        """A call could use this variant now; cheap, said for every such call."""
        is_new = key not in self._asked_s
        self._asked_s[key] = self._clock()
        if is_new:
            self._look_again(key, self._idle_s)
            self._changed()

    @property
    def wanted(self) -> Collection[VersionKey]:
        """Variants that were asked for lately."""
        return self._asked_s.keys()

    def _look_again(self, key: VersionKey, after_s: float) -> None:
        asyncio.get_running_loop().call_later(after_s, self._look, key)

    def _look(self, key: VersionKey) -> None:
        left_s = self._asked_s[key] + self._idle_s - self._clock()
        if left_s > 0:
            self._look_again(key, left_s)
        else:
            del self._asked_s[key]
            self._changed()


def _nothing() -> None:
    """Nobody is to be told yet."""
