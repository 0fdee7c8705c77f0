"""Which function is which, and what it does with the values of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from services.health.metrics.series import NAME
from services.health.promql import histograms, label_functions
from services.health.promql.expressions import Expression, Range, Selector
from services.health.promql.functions import BY_NUMBER, DATES, WITH_SCALARS, scalar_of, sort
from services.health.promql.parsing import invalid
from services.health.promql.range_functions import FUNCTIONS as RANGE_FUNCTIONS
from services.health.promql.values import Integers, Scalar, Value, Vector, Windows, distinct
from services.health.promql.windows import fold

KEEPS_NAME = "last_over_time"


def call(function: str, arguments: Sequence[Value], steps_ms: Integers) -> Value:
    """The value of a function. Raises InvalidInput for one that is not supported; the parser has checked the types."""
    if function in RANGE_FUNCTIONS:
        return _over_time(function, arguments)
    if function in DATES:
        return _date(function, arguments, steps_ms)
    if function in BY_NUMBER:
        (vector,) = arguments
        assert isinstance(vector, Vector)  # noqa: S101 - the parser checks types
        return Vector(vector.labels, BY_NUMBER[function](vector.values), vector.present).nameless()
    if function in WITH_SCALARS:
        return WITH_SCALARS[function](*arguments).nameless()
    if function in _OTHERS:
        return _OTHERS[function](steps_ms, *arguments)
    raise invalid(f"the function {function} is not supported", reason="UNKNOWN_FUNCTION")


def absent(value: Value, argument: Expression) -> Vector:
    """1 at every step at which nothing is there, with the labels that the selector asks for."""
    if isinstance(value, Windows):
        there = (value.end > value.first).any(axis=0)
    else:
        assert isinstance(value, Vector)  # noqa: S101 - the parser checks types
        there = value.present.any(axis=0)
    return Vector.of_one(_asked_for(argument), np.ones(len(there)), ~there)


def _asked_for(argument: Expression) -> Mapping[str, str]:
    selector = argument.selector if isinstance(argument, Range) else argument
    if not isinstance(selector, Selector):
        return {}
    matchers = [matcher for matcher in selector.matchers if matcher.label != NAME]
    names = [matcher.label for matcher in matchers]
    return {
        each.label: each.value for each in matchers if each.op == "=" and each.value and names.count(each.label) == 1
    }


def _over_time(function: str, arguments: Sequence[Value]) -> Vector:
    (windows,) = (each for each in arguments if isinstance(each, Windows))
    parameters = [each.values for each in arguments if isinstance(each, Scalar)]
    samples, compute = RANGE_FUNCTIONS[function]
    values, present = fold(windows, compute, samples=samples, parameters=parameters)
    found = Vector(windows.labels, values, present).chosen(np.flatnonzero(present.any(axis=1)))
    return distinct(found if function == KEEPS_NAME else found.without_names())


def _date(function: str, arguments: Sequence[Value], steps_ms: Integers) -> Vector:
    if not arguments:
        return _one(DATES[function](np.floor(steps_ms / 1000)))
    (vector,) = arguments
    assert isinstance(vector, Vector)  # noqa: S101 - the parser checks types
    return Vector(vector.labels, DATES[function](vector.values), vector.present).nameless()


def _one(values: Any) -> Vector:
    return Vector.of_one({}, values, np.ones(len(values), dtype=bool))


def _times(steps_ms: Integers, vector: Vector) -> Vector:
    """`timestamp` of what is no selector: the time of the evaluation."""
    return Vector(vector.labels, np.broadcast_to(steps_ms / 1000, vector.values.shape), vector.present).nameless()


_OTHERS: Mapping[str, Callable[..., Value]] = {
    "histogram_quantile": lambda _steps, share, vector: histograms.quantile(share.values, vector),
    "label_join": lambda _steps, vector, *texts: label_functions.join(vector, *texts),
    "label_replace": lambda _steps, vector, *texts: label_functions.replace(vector, *texts),
    "pi": lambda steps: Scalar(np.full(len(steps), np.pi)),
    "scalar": lambda _steps, vector: scalar_of(vector),
    "sort": lambda _steps, vector: sort(vector),
    "sort_desc": lambda _steps, vector: sort(vector, descending=True),
    "time": lambda steps: Scalar(steps / 1000),
    "timestamp": _times,
    "vector": lambda _steps, scalar: _one(scalar.values),
}
