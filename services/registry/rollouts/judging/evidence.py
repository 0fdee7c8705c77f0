"""Evidence of harm that may be looked at as often as one likes: e-processes on counts.

An e-process is a bet that starts with 1 and cannot be expected to grow as long as the candidate is no worse than what
it is compared with; by Ville's inequality it reaches 1/alpha then in at most a share alpha of all rollouts, ever. These
bets are on several alternatives at once, and keep some of their money back for later, so that they are not broke when a
version that was good for an hour turns bad.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

_AT_ONCE, _BY_AND_BY, _EVER = 0.7, 0.15, 0.15
_TYPICAL_LOOKS = 60
_LEAST_LOG = -700.0


class Mixture:
    """A weighted mean of bets, each of them begun anew at every look with what is kept back for it."""

    def __init__(self, weights: Sequence[float]) -> None:
        self._weights = [weight / math.fsum(weights) for weight in weights]
        self._logs = [-math.inf] * len(weights)
        self._looks = 0
        self._kept_back = 1.0

    def add(self, gains: Sequence[float], *, dispersion: float) -> None:
        """Note what each bet gained in an interval, as log of its factor.

        `dispersion`: how many times as much as independent answers the counts vary, known before the interval: so many
        answers count as one. A bet raised to a power below 1 stays a fair one.
        """
        self._looks += 1
        stake = _stake(self._looks)
        self._kept_back -= stake
        self._logs = [
            _log_sum(log, math.log(stake)) + gain / dispersion for log, gain in zip(self._logs, gains, strict=True)
        ]

    @property
    def log(self) -> float:
        """The logarithm of the evidence."""
        terms = [log + math.log(weight) for log, weight in zip(self._logs, self._weights, strict=True)]
        greatest = max(*terms, 0.0)
        rest = max(self._kept_back, 0.0) * math.exp(-greatest)
        return greatest + math.log(max(math.fsum(math.exp(term - greatest) for term in terms) + rest, 1e-300))

    def as_json(self) -> dict[str, Any]:
        """All that the future depends on."""
        return {"logs": [max(log, _LEAST_LOG) for log in self._logs], "looks": self._looks, "kept": self._kept_back}

    def restore(self, known: Mapping[str, Any]) -> None:
        """Go on where `as_json` was."""
        self._logs, self._looks, self._kept_back = list(known["logs"]), known["looks"], known["kept"]


def _stake(look: int) -> float:
    """What is bet anew at a look: most at the first, then enough for about an hour, then ever less; 1 in all."""
    if look == 1:
        return _AT_ONCE
    later = look - 2
    return _BY_AND_BY / _TYPICAL_LOOKS * (1 - 1 / _TYPICAL_LOOKS) ** later + _EVER / ((look - 1) * look)


def _log_sum(a: float, b: float) -> float:
    greatest = max(a, b)
    return greatest + math.log(math.exp(a - greatest) + math.exp(b - greatest))


def odds_gain(ours: int, our_total: int, theirs: int, their_total: int, odds: float) -> float:
    """The log-likelihood ratio of the event being `odds` times as likely in our arm as in theirs, against equally.

    Given how many events and answers both arms had together, our share of the events is hypergeometric when they are
    equal, Fisher's noncentral hypergeometric when they are not: so only exchangeability within the interval is assumed,
    and waves that hit both arms do not matter.
    """
    events = ours + theirs
    if not events or not our_total or not their_total or events == our_total + their_total:
        return 0.0
    return ours * math.log(odds) - _log_mean_power(events, our_total, their_total, odds)


@lru_cache(maxsize=4096)
def _log_mean_power(events: int, our_total: int, their_total: int, odds: float) -> float:
    """log E[odds ** X] of a hypergeometric X: summed outwards from its greatest term."""
    low, high = max(0, events - their_total), min(events, our_total)
    mode = _tilted_mode(events, our_total, their_total, odds)
    up = down = 1.0
    total, above, below = 1.0, mode, mode
    while above < high and up > total * 1e-13:
        up *= odds * (our_total - above) * (events - above) / ((above + 1) * (their_total - events + above + 1))
        above += 1
        total += up
    while below > low and down > total * 1e-13:
        down *= below * (their_total - events + below) / (odds * (our_total - below + 1) * (events - below + 1))
        below -= 1
        total += down
    first = (
        _log_choose(our_total, mode)
        + _log_choose(their_total, events - mode)
        - _log_choose(our_total + their_total, events)
    )
    return first + mode * math.log(odds) + math.log(total)


def _tilted_mode(events: int, our_total: int, their_total: int, odds: float) -> int:
    """The most probable value: the last to which the probability still rises."""
    low, high = max(0, events - their_total), min(events, our_total)
    while low < high:
        middle = (low + high) // 2
        rises = odds * (our_total - middle) * (events - middle) > (middle + 1) * (their_total - events + middle + 1)
        low, high = (middle + 1, high) if rises else (low, middle)
    return low


def _log_choose(total: int, chosen: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)


def limit_gain(events: int, total: int, limit: float, odds: float) -> float:
    """The log-likelihood ratio of an event `odds` times as likely as the limit allows, against just allowed."""
    worse = odds * limit / (1 + (odds - 1) * limit)
    return events * math.log(worse / limit) + (total - events) * math.log((1 - worse) / (1 - limit))


def shape_gain(
    ours: Sequence[int],
    theirs: Sequence[int],
    our_past: Sequence[float],
    their_past: Sequence[float],
    strength: float,
) -> float:
    """The log-likelihood ratio of both arms having the distributions of their pasts, against having one together.

    Each past is a Dirichlet posterior around both together, of `strength` answers. With the shares weighted by the
    answers of the interval this is an e-value for any distribution that both may have (Turner, Ly, Grünwald 2024).
    """
    our_total, their_total = sum(ours), sum(theirs)
    if not our_total or not their_total:
        return 0.0
    both = [a + b + 0.5 for a, b in zip(our_past, their_past, strict=True)]
    scale, our_weight = math.fsum(both), our_total / (our_total + their_total)
    our_sum, their_sum = math.fsum(our_past) + strength, math.fsum(their_past) + strength
    gain = 0.0
    for x, y, a, b, pooled in zip(ours, theirs, our_past, their_past, both, strict=True):
        if x or y:
            prior = strength * pooled / scale
            p, q = (a + prior) / our_sum, (b + prior) / their_sum
            mean = our_weight * p + (1 - our_weight) * q
            gain += x * math.log(p / mean) + y * math.log(q / mean)
    return gain
