"""How people write plans of rollouts."""

from __future__ import annotations

from typing import Any

import click
import pytest

from lepton_ai.cli.catalogue.plan_options import Duration, Margin, Percent, Percents


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Duration(), "90", 90.0),
        (Duration(), "1.5m", 90.0),
        (Duration(), "1d", 86400.0),
        (Percents(), "5%, 25,50%", (5.0, 25.0, 50.0)),
        (Percent(), "100%", 100.0),
        (Percent(), "2.5", 2.5),
        (Margin(), "latency p95=30%", ("latency p95", 0.3)),
        (Margin(), "feedback=off", ("feedback", 0.0)),
    ],
)
def test_they_are_read(kind: click.ParamType[Any], text: str, value: object) -> None:
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Duration(), "soon"),
        (Duration(), "5 y"),
        (Duration(), "31d"),
        (Percents(), "5%,0.001%"),
        (Percents(), "nan%"),
        (Percent(), "0%"),
        (Percent(), "inf"),
        (Percents(), "5;10"),
        (Percent(), "all"),
        (Margin(), "errors"),
        (Margin(), "=5%"),
        (Margin(), "errors=much"),
    ],
)
def test_what_cannot_be_read_is_refused_with_an_example(kind: click.ParamType[Any], text: str) -> None:
    with pytest.raises(click.BadParameter, match="such as"):
        kind.convert(text, None, None)
