"""When what seemed slower is tried again: the rarer, the more it costs and the more often it was tried in vain."""

from __future__ import annotations

import math

from services.inference.paths.path import Path

_LEAST_INTERVAL = 4
_MOST_REGRET = 0.02
"""The path that seemed slower is tried every so many items, or turns: the less often the slower it is, so that
measuring costs about this share, and paths that are close to one another are told apart by many measurements."""
_MOST_RARITY, _RARER = 256, 4
"""How much rarer trials become, `_RARER` times after each one that changed nothing: also a small share of slow items is
the hundredth of them that somebody's p99 is made of, and a turn on the other path slows those after it as well."""
_CLEAR_RARITY = 8
"""How rare they are at once where the other path is clearly slower: a turn on it every few seconds would be all that a
p99 shows."""
_SOONER = 8
"""How much sooner the first trial comes when the best path is not what it was: nor may the other one be."""
_SAME = 1.5
"""Up to so many times faster or slower, the best path is at what it was when the other one was last tried."""


class Trials:
    """The trials of one kind, of lone items or of turns."""

    def __init__(self) -> None:
        self._left = math.inf
        self._rarity = 1
        self._asked_again = False
        self._best: Path | None = None
        self._best_s = 0.0

    def is_due(self, best: Path, best_s: float, *, cost: float, is_clear: bool) -> bool:
        """Whether this item, or turn, is one; each call counts as one. It costs `cost` of one more than on the best
        path; `is_clear`: all trials of late say so. When another path is the best one, or when it is not as fast as it
        was, trials are as frequent again as at first."""
        interval = max(_LEAST_INTERVAL, math.ceil(cost / _MOST_REGRET))
        if best is not self._best or not best_s / _SAME <= self._best_s <= best_s * _SAME:
            self._best, self._best_s, self._rarity, self._asked_again = best, best_s, 1, False
            self._left = min(self._left, max(_LEAST_INTERVAL, interval // _SOONER))
        if is_clear and self._asked_again and self._rarity < _CLEAR_RARITY:
            self._left += interval * (_CLEAR_RARITY - self._rarity)
            self._rarity = _CLEAR_RARITY
        self._left -= 1
        if self._left > 0:
            return False
        self._left, self._asked_again = interval * self._rarity, True
        self._rarity = min(_RARER * self._rarity, _MOST_RARITY)
        return True

    def surprise(self) -> None:
        """A trial went better than the best path: look again soon. It may have been luck, so that trials become a step
        more frequent than before it, and a step rarer again when the next one is in vain."""
        self._rarity = max(1, self._rarity // _RARER**2)
        self._asked_again = False
        self._left = min(self._left, _LEAST_INTERVAL)
