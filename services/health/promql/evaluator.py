"""Walks the tree of an expression and works out its value at all steps at once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lepton_ai.errors import DeadlineExceeded, ResourceExhausted
from services.health.metrics.series import is_stale
from services.health.promql import aggregation, calls, operators
from services.health.promql.expressions import (
    Aggregation,
    Binary,
    Call,
    Expression,
    Negation,
    Number,
    Range,
    Selector,
    Subquery,
    Text,
)
from services.health.promql.reading import LOOKBACK_MS, Period
from services.health.promql.values import Batch, Integers, Scalar, Value, Vector, Windows, distinct
from services.health.promql.windows import open_windows

MAX_POINTS = 5_000_000
"""Series × steps of any part of an expression."""


def too_late() -> DeadlineExceeded:
    """The error for a query that takes longer than it may."""
    return DeadlineExceeded(
        "The query took too long", reason="QUERY_TIMEOUT", fix="Ask for fewer series, a shorter time or a longer step."
    )


@dataclass(frozen=True)
class Evaluator:
    """An evaluation at some steps, over what was read."""

    found: Mapping[Selector, Batch]
    query: Period
    steps_ms: Integers
    deadline: float

    def result(self, expression: Expression) -> Value:
        """The value of a whole expression. Raises InvalidInput, ResourceExhausted, DeadlineExceeded."""
        with np.errstate(all="ignore"):  # dividing by 0 has a result in PromQL
            return self.value(expression)

    def value(self, node: Expression) -> Value:
        """The value of a part."""
        if time.monotonic() > self.deadline:
            raise too_late()
        match node:
            case Number(value):
                return Scalar(np.full(len(self.steps_ms), value))
            case Text(value):
                return value
            case Selector():
                return self._newest(node, times=False)
            case Range():
                return self._windows(node)
            case Subquery():
                return self._subquery(node)
            case Call():
                return self._call(node)
            case _:
                return self._combined(node)

    def _combined(self, node: Aggregation | Binary | Negation) -> Value:
        if isinstance(node, Binary):
            return operators.combine(node, self._operand(node.left), self._operand(node.right))
        if isinstance(node, Aggregation):
            parameter = None if node.parameter is None else self.value(node.parameter)
            assert not isinstance(parameter, Vector | Windows)  # noqa: S101 - the parser checks types
            return aggregation.aggregate(node, self.vector(node.expression), parameter)
        inner = self._operand(node.expression)
        if isinstance(inner, Scalar):
            return Scalar(-inner.values)
        return distinct(Vector(inner.labels, -inner.values, inner.present).without_names())

    def vector(self, node: Expression) -> Vector:
        """The value of what the parser found to be an instant vector."""
        value = self.value(node)
        assert isinstance(value, Vector)  # noqa: S101 - the parser checks types
        return value

    def _operand(self, node: Expression) -> Scalar | Vector:
        value = self.value(node)
        assert isinstance(value, Scalar | Vector)  # noqa: S101 - the parser checks types
        return value

    def _call(self, node: Call) -> Value:
        first = node.arguments[0] if node.arguments else None
        if node.function == "timestamp" and isinstance(first, Selector):
            return self._newest(first, times=True).nameless()
        arguments = [self.value(argument) for argument in node.arguments]
        if node.function in ("absent", "absent_over_time") and first is not None:
            return calls.absent(arguments[0], first)
        return calls.call(node.function, arguments, self.steps_ms)

    def _seen_at(self, node: Selector | Subquery) -> Integers:
        """[steps]: the time that each step looks at."""
        if node.at is None:
            return self.steps_ms - node.offset_ms
        moment = self.query.moved(node.at, node.offset_ms, self.query).start_ms
        return np.full(len(self.steps_ms), moment, dtype=np.int64)

    def _newest(self, node: Selector, *, times: bool) -> Vector:
        """The newest sample of each series at each step, or the time of it."""
        batch = self.found[node]
        self._check_size(batch)
        seen_at = self._seen_at(node)
        end = batch.ends_at(seen_at)
        place = np.maximum(end - 1, 0)
        newest = batch.values[place] if len(batch.values) else np.zeros(place.shape)
        at_ms = batch.times_ms[place] if len(batch.values) else np.zeros(place.shape, dtype=np.int64)
        present = (end > batch.starts[:-1, np.newaxis]) & (at_ms > seen_at - LOOKBACK_MS) & ~is_stale(newest)
        vector = Vector(batch.labels, at_ms / 1000 if times else newest, present)
        return vector if present.any(axis=1).all() else vector.chosen(np.flatnonzero(present.any(axis=1)))

    def _windows(self, node: Range) -> Windows:
        batch = self.found[node.selector]
        self._check_size(batch)
        measured = ~is_stale(batch.values)  # a range does not hold the marks that a series has ended
        kept = batch if measured.all() else batch.only(measured)
        return open_windows(kept, self.steps_ms, self._seen_at(node.selector), node.range_ms)

    def _subquery(self, node: Subquery) -> Windows:
        seen_at = self._seen_at(node)
        first = int(seen_at.min()) - node.range_ms
        start = (first // node.step_ms + 1) * node.step_ms  # windows are open on the left
        inner = replace(self, steps_ms=np.arange(start, int(seen_at.max()) + 1, node.step_ms, dtype=np.int64))
        vector = inner.vector(node.expression) if len(inner.steps_ms) else Vector.empty(0)
        _, steps = np.nonzero(vector.present)
        starts = np.concatenate([[0], np.cumsum(np.count_nonzero(vector.present, axis=1))])
        batch = Batch(vector.labels, inner.steps_ms[steps], vector.values[vector.present], starts)
        self._check_size(batch)
        return open_windows(batch, self.steps_ms, seen_at, node.range_ms)

    def _check_size(self, batch: Batch) -> None:
        if len(batch.labels) * len(self.steps_ms) > MAX_POINTS:
            raise ResourceExhausted(
                f"The query has more than {MAX_POINTS:,} points",
                reason="QUERY_TOO_LARGE",
                fix="Ask for fewer series, a shorter time or a longer step.",
            )
