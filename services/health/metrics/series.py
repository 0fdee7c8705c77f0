"""What measurements look like once they are read: series of numbers with labels, and who keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from services.health.metrics.patterns import compile_pattern

NAME = "__name__"
"""The label that the name of a metric is."""


STALE = np.array([0x7FF0000000000002], dtype=np.uint64).view(np.float64)[0]
"""The value that says that a series has ended here: one NaN of many, the one that Prometheus uses."""


def is_stale(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the values are such marks; other NaN are measurements."""
    return np.asarray(np.ascontiguousarray(values).view(np.uint64) == np.float64(STALE).view(np.uint64))


Operator = Literal["=", "!=", "=~", "!~"]


@dataclass(frozen=True)
class Series:
    """One series: its labels (the name among them) and its samples, the oldest first."""

    labels: Mapping[str, str]
    times_s: NDArray[np.float64]
    """[n], seconds since 1970."""
    values: NDArray[np.float64]
    """[n]."""


@dataclass(frozen=True)
class Exemplar:
    """One measurement behind a number, with the trace in which it was taken."""

    labels: Mapping[str, str]
    value: float
    time_s: float
    """Seconds since 1970; 0 where the page does not say."""


@dataclass(frozen=True)
class Matcher:
    """A condition on one label, as PromQL has it: a label that is not there equals "", `=~` matches the whole value."""

    label: str
    op: Operator
    value: str

    def check(self) -> None:
        """Raises InvalidInput for a regular expression that is none."""
        if self.op in ("=~", "!~"):
            compile_pattern(self.value)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a series with these labels is meant. Raises InvalidInput for a broken expression."""
        found = labels.get(self.label, "")
        if self.op in ("=", "!="):
            return (found == self.value) == (self.op == "=")
        return (compile_pattern(self.value).fullmatch(found) is not None) == (self.op == "=~")


class SeriesReader(Protocol):
    """Where series are kept."""

    async def select(self, matchers: Sequence[Matcher], start_s: float, end_s: float) -> Sequence[Series]:
        """The samples in start_s < time ≤ end_s of every series that all matchers mean; those without are left out."""
