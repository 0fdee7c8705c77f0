"""When and how soon a failed call may be tried again: the retry policy, its budget and the backoff."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

MAX_ATTEMPTS = 3
"""How often a call is tried in all."""
_RETRY_BASE_S = 0.05
_RETRY_MAX_S = 1.0
_WINDOW_S = 10.0


def pause_before_retry(attempts: int, *, end_s: float, elsewhere: bool, wish_s: float | None = None) -> float | None:
    """How long to wait after the `attempts`-th failed attempt of a call; None when there must not be another one.

    `elsewhere`: the next attempt goes to a replica that has not failed yet, so it need not wait for a recovery.
    `wish_s`: when to come back, as the server said; it is followed in any case. There is no attempt when `end_s`, the
    call's deadline (monotonic seconds), leaves no time for one. The caller asks the retry budget itself.
    """
    if attempts >= MAX_ATTEMPTS:
        return None
    if wish_s is not None:
        pause_s = wish_s
    else:
        pause_s = 0.0 if elsewhere else backoff_s(attempts, base_s=_RETRY_BASE_S, max_s=_RETRY_MAX_S)
    return pause_s if time.monotonic() + pause_s < end_s else None


def backoff_s(
    attempt: int, *, base_s: float, max_s: float, factor: float = 2.0, uniform: Callable[[], float] = random.random
) -> float:
    """How long to wait after the `attempt`-th failure (1 is the first): exponential, with 'equal jitter'.

    Between half of and the whole of min(max_s, base_s · factor^(attempt-1)), so that callers that failed together do
    not come back together, and none comes back at once.
    """
    # The exponent is capped: 2.0**1100 raises OverflowError, and an outage can last that many attempts.
    ceiling = min(max_s, base_s * factor ** min(attempt - 1, 64))
    return ceiling * (0.5 + 0.5 * uniform())


class RetryBudget:
    """Bounds the extra load of retries to a share of the recent calls, so that retries cannot feed an overload.

    Every call earns `ratio` of a retry; what was earned fades with a time constant of ten seconds, so a long quiet time
    does not save up a storm of retries. A reserve of `minimum` retries, refilled over the same ten seconds, serves
    callers with little traffic. (Finagle's RetryBudget, with exponential fading in place of its sliding window.)
    """

    def __init__(self, *, ratio: float = 0.2, minimum: int = 3, clock: Callable[[], float] = time.monotonic) -> None:
        self._ratio = ratio
        self._minimum = minimum
        self._clock = clock
        self._earned = 0.0
        self._reserve = float(minimum)
        self._stamp_s = clock()

    def deposit(self) -> None:
        """Count one call (not its retries)."""
        self._fade()
        self._earned += self._ratio

    def withdraw(self) -> bool:
        """Take one retry if there is one."""
        self._fade()
        if self._earned >= 1.0:
            self._earned -= 1.0
            return True
        if self._reserve >= 1.0:
            self._reserve -= 1.0
            return True
        return False

    def _fade(self) -> None:
        now = self._clock()
        elapsed_s, self._stamp_s = now - self._stamp_s, now
        self._earned *= math.exp(-elapsed_s / _WINDOW_S)
        self._reserve = min(float(self._minimum), self._reserve + self._minimum * elapsed_s / _WINDOW_S)
