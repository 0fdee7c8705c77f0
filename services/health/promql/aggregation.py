"""Aggregations: many series made fewer, at all steps at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

import numpy as np

from services.health.metrics.series import NAME
from services.health.promql.expressions import Aggregation
from services.health.promql.parsing import invalid
from services.health.promql.range_functions import outside_of_unit
from services.health.promql.values import (
    Flags,
    Floats,
    Integers,
    Labels,
    Scalar,
    Vector,
    identity,
    merged,
    numbered,
    only,
    without,
)

_Groups = tuple[Integers, Integers]
"""Rows in order of their groups, and where each group begins among them."""


def aggregate(node: Aggregation, vector: Vector, parameter: Scalar | str | None) -> Vector:
    """The vector made smaller. Raises InvalidInput for an operator that is not Prometheus's."""
    if node.operator == "count_values" and isinstance(parameter, str):
        return _count_values(node, vector, parameter)
    if not vector.labels:
        return vector
    numbers, places = numbered(map(_key(node), vector.labels))
    labels = [_group_labels(node, vector.labels[place]) for place in places]
    order = np.argsort(numbers, kind="stable")
    groups = order, np.flatnonzero(np.diff(numbers[order], prepend=-1))
    if isinstance(parameter, Scalar):
        if node.operator in ("topk", "bottomk"):
            return _best(vector, groups, parameter, largest=node.operator == "topk")
        if node.operator == "quantile":
            values = _quantile(vector, groups, parameter.values)
            return Vector(labels, values, _counts(vector, groups) > 0)
    function = _FUNCTIONS.get(node.operator)
    if function is None:
        raise invalid(f"the aggregation {node.operator} is not supported", reason="UNKNOWN_FUNCTION")
    return Vector(labels, function(vector, groups), _counts(vector, groups) > 0)


def _key(node: Aggregation) -> Callable[[Labels], Hashable]:
    """What the series of one group share, and those of others do not."""
    if node.without:
        return lambda labels: identity(_group_labels(node, labels))
    return lambda labels: tuple([labels.get(name, "") for name in node.labels])


def _group_labels(node: Aggregation, labels: Labels) -> Labels:
    return without(labels, (NAME, *node.labels)) if node.without else only(labels, node.labels)


def _counts(vector: Vector, groups: _Groups) -> Integers:
    return np.add.reduceat(vector.present[groups[0]].astype(np.int64), groups[1], axis=0)


def _folded(function: np.ufunc, vector: Vector, groups: _Groups, absent: float) -> Floats:
    values = np.where(vector.present, vector.values, absent)
    return np.asarray(function.reduceat(values[groups[0]], groups[1], axis=0), dtype=np.float64)


def _sum(vector: Vector, groups: _Groups) -> Floats:
    return _folded(np.add, vector, groups, 0.0)


def _mean(vector: Vector, groups: _Groups) -> Floats:
    return _sum(vector, groups) / _counts(vector, groups)


def _variance(vector: Vector, groups: _Groups) -> Floats:
    sizes = np.diff(groups[1], append=len(groups[0]))
    means = np.empty_like(vector.values)
    means[groups[0]] = np.repeat(_mean(vector, groups), sizes, axis=0)
    squares = Vector(vector.labels, (vector.values - means) ** 2, vector.present)
    return _mean(squares, groups)


_FUNCTIONS: Mapping[str, Callable[[Vector, _Groups], Floats]] = {
    "sum": _sum,
    "avg": _mean,
    "min": lambda vector, groups: _folded(np.fmin, vector, groups, np.nan),
    "max": lambda vector, groups: _folded(np.fmax, vector, groups, np.nan),
    "count": lambda vector, groups: _counts(vector, groups).astype(np.float64),
    "group": lambda vector, groups: np.ones((len(groups[1]), vector.values.shape[1])),
    "stdvar": _variance,
    "stddev": lambda vector, groups: np.sqrt(_variance(vector, groups)),
}


def _members(groups: _Groups) -> list[Integers]:
    return np.split(groups[0], groups[1][1:])


def _quantile(vector: Vector, groups: _Groups, shares: Floats) -> Floats:
    found = np.empty((len(groups[1]), vector.values.shape[1]))
    share = np.clip(np.nan_to_num(shares), 0.0, 1.0)
    for number, rows in enumerate(_members(groups)):
        values, present = _ascending(vector.values[rows], vector.present[rows])
        count = present.sum(axis=0)
        rank = share * np.maximum(count - 1, 0)
        low = np.floor(rank).astype(np.int64)
        high = np.minimum(np.maximum(count - 1, 0), low + 1)
        steps = np.arange(len(count))
        weight = rank - low
        found[number] = values[low, steps] * (1 - weight) + values[high, steps] * weight
    return outside_of_unit(shares, found)


def _ascending(values: Floats, present: Flags) -> tuple[Floats, Flags]:
    """Each column sorted: NaN first, what is not there last."""
    order = np.lexsort((values, np.where(present, ~np.isnan(values), 2)), axis=0)
    return np.take_along_axis(values, order, 0), np.take_along_axis(present, order, 0)


def _best(vector: Vector, groups: _Groups, count: Scalar, *, largest: bool) -> Vector:
    """The k largest or smallest of each group, NaN last; in order where there is one step."""
    if not np.all(np.isfinite(count.values)):
        raise invalid("the number of series to keep must be finite")
    wanted = np.trunc(count.values)
    key = -vector.values if largest else vector.values
    kept = np.zeros_like(vector.present)
    rows_in_order = []
    for rows in _members(groups):
        absent_last = np.where(vector.present[rows], np.isnan(key[rows]), 2)
        order = np.lexsort((key[rows], absent_last), axis=0)
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(len(rows))[:, np.newaxis], 0)
        kept[rows] = vector.present[rows] & (ranks < wanted)
        rows_in_order += rows[order[:, 0]].tolist()
    best = Vector(vector.labels, vector.values, kept)
    return best.chosen(rows_in_order) if vector.values.shape[1] == 1 else best


def _count_values(node: Aggregation, vector: Vector, label: str) -> Vector:
    counts: dict[tuple[tuple[str, str], ...], Floats] = {}
    for row, step in np.argwhere(vector.present):
        labels = {**vector.labels[row], label: _written(vector.values[row, step])}
        found = without(labels, (NAME, *node.labels)) if node.without else only(labels, (*node.labels, label))
        counts.setdefault(identity(found), np.zeros(vector.values.shape[1]))[step] += 1
    if not counts:
        return Vector.empty(vector.values.shape[1])
    values = np.array(list(counts.values()))
    return merged(Vector([dict(key) for key in counts], values, values > 0))


def _written(value: float) -> str:
    """A number as Go writes it: never with an exponent."""
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return np.format_float_positional(value, trim="-")
