"""Rows of which each carries a number of its own, so that an answer that belongs to another row is seen as such."""

from __future__ import annotations

import random

import numpy as np

from lepton_ai.tensors import Array

WIDTH = 4
_ALIKE = np.array([1.0, -1.0, 0.5, 2.0], dtype=np.float32)
"""What a row is: its number times this. Whole numbers below 2^24 are exact in FP32."""
_REPEATED = 200


class MarkedRows:
    """Gives out rows that nobody else has got, and rows that come again and again."""

    def __init__(self) -> None:
        self._given = _REPEATED

    def fresh(self, count: int) -> Array:
        """Rows with new numbers."""
        first, self._given = self._given + 1, self._given + count
        return marked(np.arange(first, first + count))

    def mixed(self, count: int, dice: random.Random) -> Array:
        """New ones and, in about half of the places, some of 200 that others ask for as well."""
        rows = self.fresh(count)
        places = np.array([dice.random() < 0.5 for _ in range(count)])
        again = marked(np.array([dice.randint(1, _REPEATED) for _ in range(count)]))
        return np.where(places[:, None], again, rows)


def marked(numbers: Array) -> Array:
    """The rows with these numbers."""
    return np.outer(numbers.astype(np.float32), _ALIKE)


def check_rows(sent: Array, answered: Array, factor: float) -> None:
    """Raises AssertionError unless every row is answered with itself times `factor`, at its own place."""
    assert answered.shape == sent.shape, f"{len(answered)} rows for {len(sent)}"
    wrong = np.flatnonzero((answered != np.multiply(sent, np.float32(factor))).any(axis=1))
    if wrong.size:
        first = int(wrong[0])
        raise AssertionError(
            f"{wrong.size} of {len(sent)} rows are not theirs; the first is row {first}, "
            f"sent {sent[first].tolist()}, answered {answered[first].tolist()}, the factor is {factor:g}"
        )
