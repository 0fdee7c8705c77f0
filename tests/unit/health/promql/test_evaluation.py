"""What Prometheus 3 does otherwise than the Prometheus whose answers are kept, what is refused, and the bounds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest

from lepton_ai.errors import DeadlineExceeded, InvalidInput, ResourceExhausted
from services.health.metrics.series import NAME, STALE, Matcher, Series, is_stale
from services.health.promql import evaluator, reading
from services.health.promql.evaluation import evaluate, evaluate_range
from tests.promql.series import MemoryReader


def reader(*samples: tuple[float, float], name: str = "x", **labels: str) -> MemoryReader:
    times, values = zip(*samples, strict=True)
    return MemoryReader([Series({NAME: name, **labels}, np.array(times), np.array(values))])


async def value(expression: str, of: MemoryReader, at_s: float = 1000.0) -> list[float]:
    return [sample.value for sample in await evaluate(expression, of, at_s)]


async def test_a_window_does_not_hold_the_sample_at_its_beginning() -> None:
    of = reader((940, 1), (970, 2), (1000, 4))
    assert await value("sum_over_time(x[1m])", of) == [6]
    assert await value("count_over_time(x[61s])", of) == [3]


async def test_a_sample_is_looked_back_at_for_less_than_five_minutes() -> None:
    assert await value("x", reader((700.001, 5))) == [5]
    assert await value("x", reader((700, 5))) == []


async def test_a_subquery_does_not_look_at_the_beginning_of_its_window() -> None:
    assert await value("count_over_time(vector(1)[2m:1m])", reader((0, 0)), 1200) == [2]


async def test_a_counter_that_begins_within_the_window_is_not_stretched_before_its_zero() -> None:
    # 30 s apart, the first one 60 s after the window began: half a distance before it, or to 0 where that is nearer
    assert await value("increase(x[2m])", reader((940, 30), (970, 60), (1000, 90))) == [pytest.approx(60 * 75 / 60)]
    assert await value("increase(x[2m])", reader((940, 3), (970, 33), (1000, 63))) == [pytest.approx(60 * 63 / 60)]


async def test_a_series_that_has_ended_is_gone_at_once_but_its_past_counts() -> None:
    of = reader((940, 1), (970, 2), (985, STALE))
    assert await value("x", of) == []
    assert await value("x", of, 980) == [2]
    assert await value("sum_over_time(x[1m])", of) == [2]


def test_only_the_mark_says_that_a_series_has_ended() -> None:
    assert is_stale(np.array([1.0, np.nan, STALE, np.inf])).tolist() == [False, False, True, False]


async def test_a_range_has_gaps_where_nothing_is() -> None:
    (found,) = await evaluate_range("x", reader((100, 1), (900, 2)), 100, 1000, 100)
    assert found.times_s.tolist() == [100, 200, 300, 900, 1000]
    assert found.values.tolist() == [1, 1, 1, 2, 2]


async def test_values_keep_the_labels_of_their_series() -> None:
    (sample,) = await evaluate("x", reader((990, 1), model="猫"), 1000)
    assert sample.labels == {NAME: "x", "model": "猫"}


async def test_each_selector_is_read_once_for_all_steps() -> None:
    class Counting(MemoryReader):
        asked: ClassVar[list[tuple[Sequence[Matcher], float, float]]] = []

        async def select(self, matchers: Sequence[Matcher], start_s: float, end_s: float) -> Sequence[Series]:
            self.asked.append((matchers, start_s, end_s))
            return await super().select(matchers, start_s, end_s)

    of = Counting(reader((990, 1)).series)
    await evaluate_range("rate(x[1m]) + x + max_over_time(x[10m:1m] offset 5m) + y", of, 1000, 2000, 10)
    assert of.asked == [
        ((Matcher(NAME, "=", "x"),), 1000 - 300 - 600 - 300, 2000),
        ((Matcher(NAME, "=", "y"),), 700, 2000),
    ]


@pytest.mark.parametrize(
    ("expression", "reason", "word"),
    [
        ("histogram_stddev(x)", "UNKNOWN_FUNCTION", "histogram_stddev"),
        ("no_such_function(x)", "UNKNOWN_FUNCTION", "no_such_function"),
        ("limitk(2, x)", "UNKNOWN_FUNCTION", "limitk"),
        ("x[5m]", "INVALID_RESULT", "range"),
        ('"text"', "INVALID_RESULT", "text"),
        ("x >", "INVALID_EXPRESSION", "expression"),
        ('{a="1" or b="2"}', "UNSUPPORTED_EXPRESSION", "or"),
        ("(" * 2000 + "1" + ")" * 2000, "EXPRESSION_TOO_DEEP", "nested"),
        ("x or " * 400 + "x", "EXPRESSION_TOO_DEEP", "nested"),
        ("1+" * 5000 + "1", "EXPRESSION_TOO_LONG", "4096"),
    ],
)
async def test_what_cannot_be_evaluated_is_named(expression: str, reason: str, word: str) -> None:
    with pytest.raises(InvalidInput, match=word) as caught:
        await evaluate(expression, reader((990, 1)), 1000)
    assert caught.value.reason == reason


async def test_a_range_must_go_forwards() -> None:
    for start_s, end_s, step_s in ((2000, 1000, 1), (1000, 2000, 0), (1000, 2000, -1)):
        with pytest.raises(InvalidInput):
            await evaluate_range("x", reader((990, 1)), start_s, end_s, step_s)


async def test_a_query_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResourceExhausted, match="steps"):
        await evaluate_range("x", reader((990, 1)), 0, 1e6, 1)
    monkeypatch.setattr(evaluator, "MAX_POINTS", 10)
    with pytest.raises(ResourceExhausted, match="points"):
        await evaluate_range("x", reader((990, 1)), 1000, 1100, 1)
    monkeypatch.setattr(reading, "MAX_SAMPLES", 1)
    with pytest.raises(ResourceExhausted, match="samples"):
        await evaluate("x", reader((980, 1), (990, 1)), 1000)


@pytest.mark.parametrize(
    "expression", ['x{model=~"(a+)+$"}', 'x{model!~"(a|aa)+$"}', 'label_replace(x, "to", "$1", "model", "(.*a)*$")']
)
async def test_no_regular_expression_stalls_a_query(expression: str) -> None:
    known = reader((990, 1), model="a" * 1023 + "!")
    began = time.process_time()
    await evaluate(expression, known, 1000)
    assert time.process_time() - began < 0.1


async def test_functions_within_each_other_make_no_labels_without_end() -> None:
    expression = "x"
    for _ in range(40):
        expression = f'label_replace({expression}, "model", "$1$1", "model", "(.*)")'
    with pytest.raises(InvalidInput, match="more than 10,000 characters"):
        await evaluate(expression, reader((990, 1), model="cat"), 1000)


async def test_a_query_ends_in_time() -> None:
    class Slow(MemoryReader):
        async def select(self, matchers: Sequence[Matcher], start_s: float, end_s: float) -> Sequence[Series]:
            await asyncio.Event().wait()
            return []

    with pytest.raises(DeadlineExceeded):
        await evaluate("x", Slow([]), 1000, timeout_s=0.01)
    with pytest.raises(DeadlineExceeded):
        await evaluate("x", MemoryReader([]), 1000, timeout_s=0.0)
