"""The options that say how a rollout goes, as people write them."""

from __future__ import annotations

import re
from typing import Any

import click

_LONGEST_S = 30 * 86400
_SECONDS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def _percent(text: str) -> float:
    """Raises ValueError for what is no share of calls."""
    percent = float(text.strip().removesuffix("%"))
    if not 0.01 <= percent <= 100:
        raise ValueError(text)
    return percent


class Duration(click.ParamType[float]):
    """60s, 5m, 1h, or seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(value))
        if found is None or found[2] not in _SECONDS:
            self.fail(f"{value!r} is no duration, such as 60s, 5m or 1h.", param, ctx)
        seconds = float(found[1]) * _SECONDS[found[2]]
        if seconds > _LONGEST_S:
            self.fail(f"{value!r} is more than 30 days, the most that there is, such as 30d.", param, ctx)
        return seconds


class Percents(click.ParamType[tuple[float, ...]]):
    """5%,25%,50%."""

    name = "percents"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """The numbers."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(_percent(each) for each in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} are no percents from 0.01 to 100, such as 5%,25%,50%.", param, ctx)


class Percent(click.ParamType[float]):
    """100%."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        try:
            return _percent(str(value))
        except ValueError:
            self.fail(f"{value!r} is no percent from 0.01 to 100, such as 100%.", param, ctx)


class Margin(click.ParamType[tuple[str, float]]):
    """GATE=2%, or GATE=off."""

    name = "margin"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """The gate, and its margin as a share; 0 for off."""
        if isinstance(value, tuple):
            return value
        gate, _, margin = str(value).rpartition("=")
        try:
            share = 0.0 if margin.strip() == "off" else float(margin.strip().removesuffix("%")) / 100
        except ValueError:
            gate = ""
        if not gate:
            self.fail(f"{value!r} is no margin, such as 'latency p95=30%' or feedback=off.", param, ctx)
        return gate.strip(), share
