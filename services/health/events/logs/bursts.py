"""Whether something happens more often than it used to. Pure: no clock, no I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

MINUTE_S = 60
FEWEST = 10
"""In a minute: fewer are no burst, however rare they are."""
_DEVIATIONS = 6.0
_MAD_TO_SIGMA = 1.4826
_RARE = 0.99
_MORE_THAN_RARE = 1.5
_LEFT_OUT = 60
"""The newest minutes, no history while there is enough of it: a storm must not become usual within minutes."""


def usual_limit(history: Sequence[int]) -> float:
    """How many in a minute are still usual, judged by the counts of earlier minutes, the newest last.

    The median and six deviations above it; the deviation is the largest of the MAD's (robust against bursts among the
    minutes), that of a Poisson process, and one. What happened in one minute of a hundred, half as much again, is usual
    as well, so that an hourly job is no burst each hour.
    """
    old = history[:-_LEFT_OUT] if len(history) >= 2 * _LEFT_OUT else history
    if not old:
        return FEWEST
    middle = float(median(old))
    spread = _MAD_TO_SIGMA * median(abs(count - middle) for count in old)
    rare = sorted(old)[min(len(old) - 1, int(_RARE * len(old)))] if len(old) >= 2 * _LEFT_OUT else 0
    return max(float(FEWEST), middle + _DEVIATIONS * max(spread, math.sqrt(middle), 1.0), _MORE_THAN_RARE * rare)
