"""What an expression of PromQL is made of, once it is read: a tree that is easy to walk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from services.health.metrics.series import Matcher

Edge: TypeAlias = Literal["start", "end"]
"""Of the whole query: what `@ start()` and `@ end()` mean."""


@dataclass(frozen=True)
class Number:
    """A number."""

    value: float


@dataclass(frozen=True)
class Text:
    """A text, which only functions and `count_values` take."""

    value: str


@dataclass(frozen=True)
class Selector:
    """The newest sample of every series that all matchers mean."""

    matchers: tuple[Matcher, ...]
    offset_ms: int = 0
    at: int | Edge | None = None
    """Milliseconds since 1970, or an edge: looked at then, whatever the time of the evaluation."""


@dataclass(frozen=True)
class Range:
    """All samples of the last `range_ms` milliseconds."""

    selector: Selector
    range_ms: int


@dataclass(frozen=True)
class Subquery:
    """What an expression gave in the last `range_ms` milliseconds, at every multiple of `step_ms`."""

    expression: Expression
    range_ms: int
    step_ms: int
    offset_ms: int = 0
    at: int | Edge | None = None


@dataclass(frozen=True)
class Call:
    """A function."""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True)
class Aggregation:
    """Many series made fewer: one of each group of `labels` (or of all but those, where `without`)."""

    operator: str
    expression: Expression
    parameter: Expression | None
    labels: tuple[str, ...]
    without: bool


@dataclass(frozen=True)
class Matching:
    """Which series of two sides belong together."""

    on: bool = False
    """Whether `labels` are those that must agree, not those that need not."""
    labels: tuple[str, ...] = ()
    many: Literal["none", "left", "right"] = "none"
    """The side that may have several series for one of the other (`group_left`, `group_right`)."""
    include: tuple[str, ...] = ()
    """Labels that the many get from the one."""


@dataclass(frozen=True)
class Binary:
    """An operator between two expressions."""

    operator: str
    left: Expression
    right: Expression
    returns_bool: bool
    matching: Matching


@dataclass(frozen=True)
class Negation:
    """A minus sign."""

    expression: Expression


Expression: TypeAlias = Number | Text | Selector | Range | Subquery | Call | Aggregation | Binary | Negation
