"""When and how soon a failed call may be tried again: the retry policy, its budget and the backoff.

Over several hops (client → inference → preprocess) retries must not multiply. Upwards, an error that somebody has
retried already says so (`LeptonError.retried`), and nobody retries it again. Downwards, a call that is a repeat says so
(REPEAT_KEY), and the calls made for it earn no retries but use them up. So all hops together add at most the budget's
share to the calls that users made.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

REPEAT_KEY = "lepton-repeat"
"""Request metadata of a call that was made before, or is made twice: RETRY or HEDGE."""
RETRY = "retry"
HEDGE = "hedge"
MAX_ATTEMPTS = 3
"""How often a call is tried in all."""
_RETRY_BASE_S = 0.05
_RETRY_MAX_S = 1.0
_WINDOW_S = 10.0
_MAX_DEBT = 30.0

_REPEAT: ContextVar[bool] = ContextVar("lepton_repeat", default=False)


def is_repeat() -> bool:
    """Whether the call that is being answered here is a repeat, so that calls made for it are repeats, too."""
    return _REPEAT.get()


@contextmanager
def answering_repeat(*, is_repeat: bool = True) -> Iterator[None]:
    """Calls made inside are made for a call that is a repeat, or is not."""
    token = _REPEAT.set(is_repeat)
    try:
        yield
    finally:
        _REPEAT.reset(token)


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
    does not save up a storm of retries. Callers with little traffic may overdraw by `minimum` retries: later calls pay
    that back, or the same ten seconds without any. (Finagle's RetryBudget, with exponential fading in place of its
    sliding window, and a reserve that does not add to the share.)
    """

    def __init__(self, *, ratio: float = 0.2, minimum: int = 3, clock: Callable[[], float] = time.monotonic) -> None:
        self._ratio = ratio
        self._minimum = minimum
        self._clock = clock
        self._balance = 0.0
        self._stamp_s = clock()

    def deposit(self, *, repeat: bool = False) -> None:
        """Count one call (not its retries). One that is a `repeat` of a caller is extra load on the next hop already,
        so it earns nothing and takes a retry away from others, as if it had been made here."""
        self._fade()
        self._balance = max(-_MAX_DEBT, self._balance - 1.0) if repeat else self._balance + self._ratio

    def withdraw(self) -> bool:
        """Take one retry if there is one."""
        self._fade()
        if self._balance - 1.0 < -self._minimum:
            return False
        self._balance -= 1.0
        return True

    def _fade(self) -> None:
        now = self._clock()
        elapsed_s, self._stamp_s = now - self._stamp_s, now
        if self._balance > 0:
            self._balance *= math.exp(-elapsed_s / _WINDOW_S)
        else:
            self._balance = min(0.0, self._balance + self._minimum * elapsed_s / _WINDOW_S)
