"""When a burning budget is worth an alert."""

from __future__ import annotations

import math

import pytest

from services.health.alerts.slo.burning import BURN_WINDOWS, Count, burns, is_alert, window_name, within

MONTH_S = 30 * 86400.0
PAGE = BURN_WINDOWS[0]


def test_for_a_month_the_table_is_that_of_the_workbook() -> None:
    rows = [(each.long_s / 3600, each.short_s / 60, round(each.factor(MONTH_S), 6)) for each in BURN_WINDOWS]
    assert rows == [(1, 5, 14.4), (6, 30, 6), (24, 120, 3), (72, 360, 1)]
    assert [each.severity for each in BURN_WINDOWS] == ["page", "page", "ticket", "ticket"]


def test_for_a_week_the_same_part_of_the_budget_is_worth_the_same_alert() -> None:
    assert PAGE.factor(7 * 86400) == pytest.approx(0.02 * 7 * 24)


def test_the_rate_is_one_when_exactly_what_is_allowed_fails() -> None:
    assert Count(10_000, 10).burn_rate(0.999) == pytest.approx(1)
    assert Count(0, 0).burn_rate(0.999) == 0
    assert Count(10_000, 5).budget_left(0.999) == pytest.approx(0.5)
    assert Count(10_000, 20).budget_left(0.999) == pytest.approx(-1)


def test_both_windows_must_burn() -> None:
    bad, good = Count(1000, 50), Count(1000, 0)
    assert burns(bad, PAGE, 0.999, MONTH_S)
    assert is_alert(bad, bad, PAGE, 0.999, MONTH_S)
    assert not is_alert(bad, good, PAGE, 0.999, MONTH_S)  # it is over
    assert not is_alert(good, bad, PAGE, 0.999, MONTH_S)  # it has just begun


def test_few_failures_mean_nothing() -> None:
    assert not is_alert(Count(9, 9), Count(9, 9), PAGE, 0.999, MONTH_S)
    assert is_alert(Count(10, 10), Count(10, 10), PAGE, 0.999, MONTH_S)


def test_what_is_slower_than_a_limit_is_counted_from_buckets() -> None:
    buckets = {0.1: 900.0, 0.25: 990.0, 1.0: 1000.0, math.inf: 1000.0}
    assert within(buckets, 0.25) == Count(1000, 10)
    assert within(buckets, 0.1) == Count(1000, 100)
    between = within(buckets, 0.2)
    assert between.bad == pytest.approx(1000 - 900 - 90 * 0.1 / 0.15)
    assert within(buckets, 5.0) == Count(1000, 0)
    assert within({1.0: 5.0, math.inf: 8.0}, 30.0) == Count(8, 3)  # how much slower is not known
    assert within({}, 0.1) == Count()


@pytest.mark.parametrize(("seconds", "name"), [(300, "5m"), (3600, "1h"), (86400, "1d"), (259_200, "3d"), (90, "90s")])
def test_windows_are_named_as_promql_has_them(seconds: float, name: str) -> None:
    assert window_name(seconds) == name
