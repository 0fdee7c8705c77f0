"""How many rows a model's callers keep on their way, and batches of one size for them."""

from __future__ import annotations

import math
from collections import deque

_BATCHES = 32
"""How long a peak is remembered."""
_ROUNDS = 2
"""Batches for each instance: it works on one while the callers of the other one get their answers and ask again."""
_LEAST_ROWS = 2
"""They do not become smaller for that: what each batch costs is too much for a single row."""


class Crowd:
    """The rows of one model that waited or were in flight of late, at most.

    Callers who ask again as soon as they have an answer form groups, a batch each. Three groups on two instances wait
    for each other unequally long: p99 is 1.35 times the median. With as many groups for each instance, which takes
    batches of one size, it is 1.1 times. While a group has its answers its rows are nowhere, so the peak counts.
    """

    def __init__(self) -> None:
        self._peaks: deque[int] = deque([0], maxlen=_BATCHES)
        self._peak_rows = 0

    def see(self, rows: int) -> None:
        """So many are there."""
        if rows > self._peaks[-1]:
            self._peaks[-1] = rows
            self._peak_rows = max(self._peak_rows, rows)

    def fade(self) -> None:
        """A batch has been answered."""
        self._peaks.append(0)
        self._peak_rows = max(self._peaks)

    def even_rows(self, instances: int, most: int, waiting: int = 0) -> int:
        """How many rows a batch takes, at most `most`, so that each instance gets as many batches of one size.

        `waiting`: rows that are there. When the batch would leave behind only those by which the crowd exceeds equal
        batches, such as that of a probe among 16 callers, it takes them as well: they would wait a turn longer.
        """
        rounds = max(1, math.ceil(self._peak_rows / (instances * most)))
        if rounds < _ROUNDS and self._peak_rows >= instances * _ROUNDS * _LEAST_ROWS:
            rounds = _ROUNDS
        rows = self._peak_rows / (instances * rounds)
        # Of several rounds the next one takes a row more or less; of a single one none may be left behind.
        even = max(1, math.ceil(rows) if rounds == 1 else min(most, round(rows)))
        beyond = self._peak_rows - even * instances * rounds
        return waiting if even < waiting <= min(most, even + beyond) else even
