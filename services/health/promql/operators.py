"""Operators between two values, and which series of two vectors belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping

import numpy as np

from services.health.metrics.series import NAME
from services.health.promql.expressions import Binary, Matching
from services.health.promql.parsing import invalid
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

ARITHMETIC: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
    "atan2": np.arctan2,
}
COMPARISONS: Mapping[str, Callable[[Floats, Floats], Flags]] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}


def combine(node: Binary, left: Scalar | Vector, right: Scalar | Vector) -> Scalar | Vector:
    """What the operator makes of both. Raises InvalidInput where it is not clear what belongs together."""
    if isinstance(left, Scalar) and isinstance(right, Scalar):
        return Scalar(_numbers(node.operator, left.values, right.values)[0])
    if isinstance(left, Vector) and isinstance(right, Vector):
        return _SETS[node.operator](node, left, right) if node.operator in _SETS else _match(node, left, right)
    vector = left if isinstance(left, Vector) else right
    assert isinstance(vector, Vector)  # noqa: S101 - the other two cases are above
    values, kept = _numbers(node.operator, left.values, right.values)
    if node.operator in ARITHMETIC or node.returns_bool:
        return Vector(vector.labels, values, vector.present).nameless()
    return Vector(vector.labels, vector.values, vector.present & kept)


def _numbers(operator: str, left: Floats, right: Floats) -> tuple[Floats, Flags]:
    """The result of an operator, and where a comparison holds."""
    if operator in ARITHMETIC:
        values = ARITHMETIC[operator](left, right)
        return values, np.ones(values.shape, dtype=bool)
    holds = COMPARISONS[operator](left, right)
    return holds.astype(np.float64), holds


def _signature(labels: Labels, matching: Matching) -> Hashable:
    if matching.on:
        return tuple(labels.get(name, "") for name in matching.labels)
    return identity(without(labels, (NAME, *matching.labels)))


def _match(node: Binary, left: Vector, right: Vector) -> Vector:
    """Arithmetic and comparisons, series by series."""
    many, one = (right, left) if node.matching.many == "right" else (left, right)
    signatures = [_signature(labels, node.matching) for labels in one.labels]
    _check_one_side(signatures, many, one)
    partners: defaultdict[Hashable, list[int]] = defaultdict(list)
    for row, signature in enumerate(signatures):
        partners[signature].append(row)
    found = [_signature(labels, node.matching) for labels in many.labels]
    pairs = np.array([(row, other) for row, key in enumerate(found) for other in partners.get(key, ())], dtype=np.int64)
    if not len(pairs):
        return Vector.empty(left.values.shape[1])
    many_rows, one_rows = pairs[:, 0], pairs[:, 1]
    left_rows, right_rows = (one_rows, many_rows) if node.matching.many == "right" else (many_rows, one_rows)
    values, kept = _numbers(node.operator, left.values[left_rows], right.values[right_rows])
    present = many.present[many_rows] & one.present[one_rows]
    if node.operator in COMPARISONS and not node.returns_bool:
        values, present = left.values[left_rows], present & kept
    if node.matching.many == "none":
        _check_used_once([found[row] for row in many_rows], present)
    labels = [_result(node, many.labels[row], one.labels[other]) for row, other in pairs]
    return merged(Vector(labels, values, present))


def _check_one_side(signatures: list[Hashable], many: Vector, one: Vector) -> None:
    """At no step where there is something to match may one side have two series of one signature."""
    steps = many.present.any(axis=0)
    if _most(signatures, one.present & steps) > 1:
        raise invalid(
            "found duplicate series for one match group: many-to-many matching is not allowed, labels must be unique "
            "on one side",
            reason="MANY_TO_MANY",
        )


def _check_used_once(signatures: list[Hashable], present: Flags) -> None:
    if _most(signatures, present) > 1:
        raise invalid(
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
            reason="MANY_TO_ONE",
        )


def _most(signatures: list[Hashable], present: Flags) -> int:
    """How many series of one signature are there at one step, at most."""
    groups, places = numbered(signatures)
    if len(places) == len(groups):
        return 1
    counts = np.zeros((len(places), present.shape[1]), dtype=np.int64)
    np.add.at(counts, groups, present)
    return int(counts.max(initial=0))


def _result(node: Binary, many: Labels, one: Labels) -> Labels:
    labels = dict(many)
    if node.operator in ARITHMETIC or node.returns_bool:
        labels.pop(NAME, None)
    matching = node.matching
    if matching.many == "none":
        labels = only(labels, matching.labels) if matching.on else without(labels, matching.labels)
    for name in matching.include:
        labels.pop(name, None)
        if one.get(name):
            labels[name] = one[name]
    return labels


def _sides(node: Binary, left: Vector, right: Vector) -> tuple[Integers, Integers, int]:
    keys = [_signature(labels, node.matching) for labels in (*left.labels, *right.labels)]
    groups, places = numbered(keys)
    return groups[: len(left.labels)], groups[len(left.labels) :], len(places)


def _there(groups: Integers, vector: Vector, count: int) -> Flags:
    """[groups, steps]: whether any series of the group is there."""
    found = np.zeros((count, vector.values.shape[1]), dtype=bool)
    np.logical_or.at(found, groups, vector.present)
    return found


def _and(node: Binary, left: Vector, right: Vector) -> Vector:
    of_left, of_right, count = _sides(node, left, right)
    return Vector(left.labels, left.values, left.present & _there(of_right, right, count)[of_left])


def _unless(node: Binary, left: Vector, right: Vector) -> Vector:
    of_left, of_right, count = _sides(node, left, right)
    return Vector(left.labels, left.values, left.present & ~_there(of_right, right, count)[of_left])


def _or(node: Binary, left: Vector, right: Vector) -> Vector:
    of_left, of_right, count = _sides(node, left, right)
    added = right.present & ~_there(of_left, left, count)[of_right]
    return merged(
        Vector(
            [*left.labels, *right.labels],
            np.concatenate([left.values, right.values]),
            np.concatenate([left.present, added]),
        )
    )


_SETS: Mapping[str, Callable[[Binary, Vector, Vector], Vector]] = {"and": _and, "or": _or, "unless": _unless}
