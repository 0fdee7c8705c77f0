"""Every expression has the value that Prometheus gave it."""

from __future__ import annotations

from functools import cache

import pytest

from services.health.metrics.series import Series
from tests.promql.answers import ask_ours, differences, kept_answers
from tests.promql.expressions import EXPRESSIONS, REFUSED
from tests.promql.series import MemoryReader, platform


@cache
def series() -> list[Series]:
    return platform()


@pytest.mark.parametrize("expression", EXPRESSIONS)
async def test_an_expression_has_prometheus_value_at_every_time(expression: str) -> None:
    theirs = kept_answers()[expression]
    assert differences(theirs, await ask_ours(MemoryReader(series()), expression)) == []


@pytest.mark.parametrize("expression", REFUSED)
async def test_what_prometheus_refuses_is_refused(expression: str) -> None:
    ours = await ask_ours(MemoryReader(series()), expression)
    assert kept_answers()[expression] == ours == [None] * len(ours)


def test_nearly_all_expressions_find_something_to_compare() -> None:
    found = [expression for expression in EXPRESSIONS if any(kept_answers()[expression])]
    assert len(found) > 0.95 * len(EXPRESSIONS) > 250
