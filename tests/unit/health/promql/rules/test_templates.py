"""Numbers in texts as Prometheus writes them; promtool compares whole texts in tests/integration/health."""

from __future__ import annotations

import math

import pytest

from services.health.promql.rules.templates import read_template


@pytest.mark.parametrize(
    ("text", "value", "written"),
    [
        ("{{ $value }}", 0, "0"),
        ("{{ $value }}", 123456, "123456"),
        ("{{ $value }}", 1e6, "1e+06"),
        ("{{ $value }}", -1234567.5, "-1.2345675e+06"),
        ("{{ $value }}", 0.00001, "1e-05"),
        ("{{ $value }}", 0.25, "0.25"),
        ("{{ $value }}", math.nan, "NaN"),
        ("{{ $value }}", math.inf, "+Inf"),
        ("{{ $value | humanize }}", 1234567, "1.235M"),
        ("{{ $value | humanize }}", 0.0015, "1.5m"),
        ("{{ $value | humanize }}", -math.inf, "-Inf"),
        ("{{ $value | humanize1024 }}", 1048576, "1Mi"),
        ("{{ $value | humanizeDuration }}", 3661, "1h 1m 1s"),
        ("{{ $value | humanizeDuration }}", 90061, "1d 1h 1m 1s"),
        ("{{ $value | humanizeDuration }}", 90, "1m 30s"),
        ("{{ $value | humanizeDuration }}", -1.5, "-1.5s"),
        ("{{ $value | humanizeDuration }}", 0.0025, "2.5ms"),
        ("{{ $value | humanizePercentage }}", 0.12345, "12.35%"),
        ('{{ printf "%.2f" $value }}', 2 / 3, "0.67"),
        ("{{$labels.model}} of {{ $labels.nobody }}: {{- $value -}}", 1, "猫 of : 1"),
        ("no places, {braces}", 1, "no places, {braces}"),
    ],
)
def test_a_text_is_written_with_its_number_and_labels(text: str, value: float, written: str) -> None:
    assert read_template(text).write({"model": "猫"}, value) == written
