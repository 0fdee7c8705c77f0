"""Numbers for people, and charts of a line."""

from __future__ import annotations

import math

import pytest

from lepton_ai.cli.monitoring.figures import format_figure, format_number, sparkline


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123, "s", "12.3 ms"),
        (0.031, "ratio", "3.1 %"),
        (12.345, "1/s", "12.3/s"),
        (1234.5, "1/s", "1,234/s"),
        (3 << 20, "bytes", "3.0 MiB"),
        (2.0, "", "2"),
        (0.251, "cores", "0.251"),
        (370.5, "W", "370 W"),
        (-1.5, "s", "-1.5"),
        (math.nan, "s", ""),
        (math.inf, "s", "∞"),
        (-math.inf, "bytes", "-∞"),
        (50.0, "ratio", "5000 %"),
    ],
)
def test_a_number_has_its_unit(value: float, unit: str, text: str) -> None:
    assert format_figure(value, unit) == text


def test_numbers_are_short_and_whole_ones_are_whole() -> None:
    assert [format_number(each) for each in (0, 1e6, 0.1 + 0.2, 1e-7, 1e300)] == [
        "0",
        "1,000,000",
        "0.3",
        "1e-07",
        "1e+300",
    ]


def test_a_sparkline_goes_from_the_smallest_to_the_largest_and_shows_gaps() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([1, math.nan, 2], 8) == "▁ █"
    assert sparkline([5, 5], 8) == "▁▁"
    assert sparkline([math.nan, math.inf], 8) == ""


def test_a_long_sparkline_keeps_its_peak() -> None:
    values = [0.0] * 100
    values[57] = 1.0
    assert sparkline(values, 10).count("█") == 1
    assert len(sparkline(values, 10)) == 10
