"""Numbers of measurements as people read them, and small charts of a line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from lepton_ai.cli.output import format_duration_s, format_size_bytes

_BLOCKS = "▁▂▃▄▅▆▇█"


def format_figure(value: float, unit: str) -> str:
    """A number with the unit that KPIs have: "1/s", "s", "ratio", "bytes", "cores", "rows", "W", or none."""
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if unit == "s" and value >= 0:
        return format_duration_s(value)
    if unit == "bytes" and value >= 0:
        return format_size_bytes(round(value))
    if unit == "ratio":
        return f"{100 * value:.3g} %" if abs(value) < 9.995 else f"{100 * value:.0f} %"
    text = format_number(value)
    return {"1/s": f"{text}/s", "W": f"{text} W"}.get(unit, text)


def format_number(value: float) -> str:
    """3, 0.25, 12,345, 1.2e-07."""
    if value == round(value) and abs(value) < 1e15:
        return f"{round(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.4g}"
    return f"{value:.3g}"


def sparkline(values: Sequence[float], width: int) -> str:
    """The last values as a line of blocks, the smallest lowest; a gap where there is no number."""
    shown = _thinned(values, width)
    known = [value for value in shown if math.isfinite(value)]
    if not known:
        return ""
    low, high = min(known), max(known)
    return "".join(_block(value, low, high) for value in shown)


def _block(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return " "
    share = (value - low) / (high - low) if high > low else 0.0
    return _BLOCKS[min(len(_BLOCKS) - 1, int(share * len(_BLOCKS)))]


def _thinned(values: Sequence[float], width: int) -> list[float]:
    """At most so many: of each stretch the largest, so that no peak is lost."""
    if len(values) <= width:
        return list(values)
    bounds = [round(index * len(values) / width) for index in range(width + 1)]
    stretches = (values[begin:end] for begin, end in pairwise(bounds))
    return [max((each for each in stretch if not math.isnan(each)), default=math.nan) for stretch in stretches]
