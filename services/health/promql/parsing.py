"""Reads PromQL with the library promql-parser, which also checks types, into our own tree."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache, singledispatch
from typing import Any, Literal

import promql_parser as library

from lepton_ai.errors import InvalidInput
from services.health.metrics.series import NAME, Matcher
from services.health.promql.expressions import (
    Aggregation,
    Binary,
    Call,
    Edge,
    Expression,
    Matching,
    Negation,
    Number,
    Range,
    Selector,
    Subquery,
    Text,
)

DEFAULT_STEP_MS = 60_000
"""Of subqueries that name none: Prometheus's default, its evaluation interval when nobody configures it."""
MAX_LENGTH = 4096
"""Characters. The library recurses on the C stack: 10,000 characters of operators end the process."""
_MAX_DEPTH = 100
_MATCH: dict[Any, Literal["=", "!=", "=~", "!~"]] = {
    "MatchOp.Equal": "=",
    "MatchOp.NotEqual": "!=",
    "MatchOp.Re": "=~",
    "MatchOp.NotRe": "!~",
}
_SIDES: dict[str, Literal["none", "left", "right"]] = {
    "VectorMatchCardinality.ManyToOne": "left",
    "VectorMatchCardinality.OneToMany": "right",
}

# Prometheus 3 calls it `double_exponential_smoothing`; both names are understood here.
library.register_extra_functions(
    [
        library.Function(
            "holt_winters",
            [library.ValueType.Matrix, library.ValueType.Scalar, library.ValueType.Scalar],
            library.ValueType.Vector,
        )
    ]
)


@lru_cache(maxsize=1024)
def parse(text: str) -> Expression:
    """The tree of an expression. Raises InvalidInput that says what is wrong with it."""
    if len(text) > MAX_LENGTH:
        raise invalid(f"is longer than {MAX_LENGTH} characters", reason="EXPRESSION_TOO_LONG")
    try:
        read = library.parse(text)
    except ValueError as error:
        raise invalid(str(error), reason=_reason(str(error))) from None
    return _convert(read, 0)


def duration_s(text: str) -> float:
    """Seconds of a duration such as 5m or 1h30m. Raises InvalidInput for what is none."""
    if text in ("0", "0s"):
        return 0.0
    try:
        return library.parse_duration(text).total_seconds()
    except ValueError as error:
        raise InvalidInput.of_field("duration", str(error), reason="INVALID_DURATION") from None


def invalid(what: str, *, reason: str = "INVALID_EXPRESSION") -> InvalidInput:
    """The error for an expression that cannot be evaluated."""
    return InvalidInput.of_field("expression", what, reason=reason)


def _reason(message: str) -> str:
    return "UNKNOWN_FUNCTION" if message.startswith("unknown function") else "INVALID_EXPRESSION"


def _convert(node: Any, depth: int) -> Expression:
    if depth > _MAX_DEPTH:
        raise invalid(f"is nested more than {_MAX_DEPTH} deep", reason="EXPRESSION_TOO_DEEP")
    return _convert_node(node, depth + 1)


@singledispatch
def _convert_node(node: Any, depth: int) -> Expression:
    raise invalid(f"{type(node).__name__} is not supported", reason="UNSUPPORTED_EXPRESSION")


@_convert_node.register
def _(node: library.ParenExpr, depth: int) -> Expression:
    return _convert(node.expr, depth)


@_convert_node.register
def _(node: library.NumberLiteral, _depth: int) -> Expression:
    return Number(node.val)


@_convert_node.register
def _(node: library.StringLiteral, _depth: int) -> Expression:
    return Text(node.val)


@_convert_node.register
def _(node: library.VectorSelector, _depth: int) -> Expression:
    return _selector(node)


@_convert_node.register
def _(node: library.MatrixSelector, _depth: int) -> Expression:
    return Range(_selector(node.vector_selector), _milliseconds(node.range))


@_convert_node.register
def _(node: library.SubqueryExpr, depth: int) -> Expression:
    return Subquery(
        _convert(node.expr, depth),
        range_ms=_milliseconds(node.range),
        step_ms=_milliseconds(node.step) or DEFAULT_STEP_MS,
        offset_ms=_milliseconds(node.offset),
        at=_moment(node.at),
    )


@_convert_node.register
def _(node: library.Call, depth: int) -> Expression:
    return Call(node.func.name, tuple(_convert(argument, depth) for argument in node.args))


@_convert_node.register
def _(node: library.UnaryExpr, depth: int) -> Expression:
    return Negation(_convert(node.expr, depth))


@_convert_node.register
def _(node: library.AggregateExpr, depth: int) -> Expression:
    return Aggregation(
        operator=str(node.op),
        expression=_convert(node.expr, depth),
        parameter=None if node.param is None else _convert(node.param, depth),
        labels=() if node.modifier is None else tuple(node.modifier.labels),
        without=node.modifier is not None and node.modifier.type == library.AggModifierType.Without,
    )


@_convert_node.register
def _(node: library.BinaryExpr, depth: int) -> Expression:
    modifier = node.modifier
    return Binary(
        operator=str(node.op),
        left=_convert(node.lhs, depth),
        right=_convert(node.rhs, depth),
        returns_bool=modifier is not None and modifier.return_bool,
        matching=Matching() if modifier is None else _matching(modifier),
    )


def _matching(modifier: library.BinModifier) -> Matching:
    if modifier.fill_values is not None and (modifier.fill_values.lhs, modifier.fill_values.rhs) != (None, None):
        raise invalid("fill modifiers are not supported", reason="UNSUPPORTED_EXPRESSION")
    return Matching(
        on=modifier.matching is not None and modifier.matching.type == library.LabelModifierType.Include,
        labels=() if modifier.matching is None else tuple(modifier.matching.labels),
        many=_SIDES.get(str(modifier.card), "none"),
        include=tuple(modifier.group_labels or ()),
    )


def _selector(node: library.VectorSelector) -> Selector:
    if node.matchers.or_matchers:
        raise invalid("`or` between matchers is not Prometheus's", reason="UNSUPPORTED_EXPRESSION")
    name = () if node.name is None else (Matcher(NAME, "=", node.name),)
    matchers = [Matcher(each.name, _MATCH[str(each.op)], each.value) for each in node.matchers.matchers]
    for each in matchers:
        each.check()
    return Selector((*name, *matchers), _milliseconds(node.offset), _moment(node.at))


def _milliseconds(duration: timedelta | None) -> int:
    return 0 if duration is None else round(duration / timedelta(milliseconds=1))


def _moment(at: library.AtModifier | None) -> int | Edge | None:
    if at is None:
        return None
    if at.at is not None:
        return round(at.at.timestamp() * 1000)
    return "start" if at.type == library.AtModifierType.Start else "end"
