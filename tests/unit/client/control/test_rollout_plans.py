"""Conditions on metrics as people write them."""

from __future__ import annotations

import pytest

from lepton_ai.client.control.rollouts import parse_metric
from lepton_ai.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("orders: sum(rate(orders[1m])) > 2", ("orders", "sum(rate(orders[1m]))", ">", 2.0)),
        ("orders:a:rate5m<=.5", ("orders", "a:rate5m", "<=", 0.5)),
        ('慢: count(x{v="$version"} > 3) < 1e-3', ("慢", 'count(x{v="$version"} > 3)', "<", 0.001)),
        ("m: a\n  - b >= -1.5", ("m", "a\n  - b", ">=", -1.5)),
    ],
)
def test_the_last_comparison_is_the_condition(text: str, parts: tuple[str, str, str, float]) -> None:
    gate = parse_metric(text)
    assert (gate.name, gate.query, gate.comparison, gate.threshold) == parts


@pytest.mark.parametrize("text", ["", "up > 1", "up: up", "up: > 1", "up: up == 1", "up: up > many"])
def test_what_says_no_condition_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no condition"):
        parse_metric(text)
