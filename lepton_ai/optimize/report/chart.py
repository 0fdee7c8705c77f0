"""The Pareto picture as SVG: speed-up to the right, loss downwards, size as the area of the dots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lepton_ai.optimize.result import Optimisation
    from lepton_ai.optimize.search.trial import Trial

_WIDTH, _HEIGHT = 760, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 190, 20, 48
_LARGEST_RADIUS, _SMALLEST_RADIUS = 16.0, 4.0
_TICKS = 5
_MARGIN = 1.08
_NAME_HEIGHT = 15
_MOST_NAMES = (_HEIGHT - _TOP - _BOTTOM) // _NAME_HEIGHT

STYLE = """
.pareto{width:100%;height:auto;display:block}.pareto text{fill:var(--soft);font-size:12px}
.pareto .grid{stroke:var(--line);stroke-width:1}.pareto .bound{stroke:var(--high);stroke-dasharray:5 4}
.pareto circle{fill:var(--soft);fill-opacity:.45}.pareto .front circle{fill:var(--accent);fill-opacity:.75}
.pareto .best circle{stroke:var(--ink);stroke-width:2}.pareto .whisker{stroke:var(--soft);stroke-width:1}
.pareto .steps{fill:none;stroke:var(--accent);stroke-width:1.4;stroke-dasharray:2 3}
.pareto .name{fill:var(--ink)}.pareto .leader{fill:none;stroke:var(--line);stroke-width:1}
.variants th,.variants td:first-child,.variants td:last-child{text-align:left}
.variants td:last-child{white-space:normal;min-width:180px}
"""


def pareto_svg(found: Optimisation) -> str:
    """An `<svg>` of the trials that were measured, with the whiskers of their intervals; it loads nothing.

    Names stand beside the picture, each joined to its dot, as many as there is room for: those of the front first.
    """
    shown = sorted((trial for trial in found.trials if trial.measured is not None), key=_speed)
    axes = _Axes.of(shown, found.task.max_loss)
    front = found.front
    dots = "".join(_dot(trial, axes, found) for trial in shown)
    named = sorted(shown, key=lambda trial: trial not in front)[:_MOST_NAMES]
    label = f"Speed-up and loss of {len(shown)} variants of {found.model}"
    return (
        f"<svg class='pareto' viewBox='0 0 {_WIDTH} {_HEIGHT}' role='img' aria-label='{escape(label, quote=True)}'>"
        f"{axes.svg(found.task.max_loss)}{_names(named, axes)}{_steps(front, axes)}{dots}</svg>"
    )


class _Axes:
    """Where a speed-up and a loss lie on the picture."""

    def __init__(self, least_speed: float, most_speed: float, least_loss: float, most_loss: float) -> None:
        self.least_speed, self.most_speed = least_speed, most_speed
        self.least_loss, self.most_loss = least_loss, most_loss

    @classmethod
    def of(cls, trials: Sequence[Trial], max_loss: float) -> _Axes:
        figures = [trial.measured for trial in trials if trial.measured is not None]
        speeds = [bound for each in figures for bound in (each.speed.ratio.low, each.speed.ratio.high)]
        slowest, fastest = min(1.0, *speeds), max(1.0, *speeds)
        aside = max(0.02, (fastest - slowest) * (_MARGIN - 1))
        losses = [each.accuracy.loss.value for each in figures]
        most = max(2 * max_loss, *losses, 1e-4) * _MARGIN
        return cls(max(0.0, slowest - aside), fastest + aside, min(0.0, *losses) * _MARGIN, most)

    def x(self, speed: float) -> float:
        part = (speed - self.least_speed) / (self.most_speed - self.least_speed)
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(1.0, max(0.0, part))

    def y(self, loss: float) -> float:
        part = (loss - self.least_loss) / (self.most_loss - self.least_loss)
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * min(1.0, max(0.0, part))

    def svg(self, max_loss: float) -> str:
        """Grid, ticks, titles, and the bound."""
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        lines = []
        for speed in _ticks(self.least_speed, self.most_speed):
            x = self.x(speed)
            lines.append(f"<line class='grid' x1='{x:.1f}' y1='{_TOP}' x2='{x:.1f}' y2='{bottom}'/>")
            lines.append(f"<text x='{x:.1f}' y='{bottom + 18}' text-anchor='middle'>{speed:g} ×</text>")
        for loss in _ticks(self.least_loss, self.most_loss):
            y = self.y(loss)
            lines.append(f"<line class='grid' x1='{_LEFT}' y1='{y:.1f}' x2='{right}' y2='{y:.1f}'/>")
            lines.append(f"<text x='{_LEFT - 8}' y='{y + 4:.1f}' text-anchor='end'>{loss * 100:.3g}</text>")
        bound = self.y(max_loss)
        lines.append(f"<line class='bound' x1='{_LEFT}' y1='{bound:.1f}' x2='{right}' y2='{bound:.1f}'/>")
        middle = (_LEFT + right) / 2
        lines.append(f"<text x='{middle}' y='{_HEIGHT - 8}' text-anchor='middle'>as fast as the original, times</text>")
        lines.append(f"<text x='{right}' y='{bound - 5:.1f}' text-anchor='end'>bound</text>")
        lines.append(f"<text x='14' y='{_TOP + 110}' transform='rotate(-90 14 {_TOP + 110})'>loss, points</text>")
        return "".join(lines)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers in a range."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _steps(front: Sequence[Trial], axes: _Axes) -> str:
    """The front as a line through its variants, by speed."""
    figures = sorted(
        (each.measured.speed.ratio.value, each.measured.accuracy.loss.value) for each in front if each.measured
    )
    places = " ".join(f"{axes.x(speed):.1f},{axes.y(loss):.1f}" for speed, loss in figures)
    return f"<polyline class='steps' points='{places}'/>"


def _speed(trial: Trial) -> float:
    return trial.measured.speed.ratio.value if trial.measured else 0.0


def _names(trials: Sequence[Trial], axes: _Axes) -> str:
    """One below the other, at the height of its dot or as near as there is room, with a line to it."""
    figures = [(each.name, each.measured) for each in trials if each.measured]
    dots = [(axes.y(each.accuracy.loss.value), axes.x(each.speed.ratio.value), name) for name, each in figures]
    # Of dots at one height the last one has the longest way, which leads below the others.
    dots.sort(key=lambda dot: (dot[0], -dot[1]))
    left, names = _WIDTH - _RIGHT + 18, []
    for (y, x, name), height in zip(dots, _spread([dot[0] for dot in dots]), strict=True):
        names.append(f"<path class='leader' d='M{x:.1f} {y:.1f}L{left - 8} {height:.1f}H{left - 3}'/>")
        names.append(f"<text class='name' x='{left}' y='{height + 4:.1f}'>{escape(name)}</text>")
    return "".join(names)


def _spread(heights: Sequence[float]) -> list[float]:
    """The same ones, in order, so far apart that names have room, and none below the picture."""
    spread: list[float] = []
    for height in heights:
        spread.append(max(height, spread[-1] + _NAME_HEIGHT if spread else height))
    lowest: float = _HEIGHT - _BOTTOM
    for index in reversed(range(len(spread))):
        spread[index] = min(spread[index], lowest)
        lowest = spread[index] - _NAME_HEIGHT
    return spread


def _dot(trial: Trial, axes: _Axes, found: Optimisation) -> str:
    """The dot of a variant with its whiskers."""
    measured = trial.measured
    assert measured is not None  # noqa: S101 - the caller has chosen those
    ratio, loss = measured.speed.ratio, measured.accuracy.loss
    x, y = axes.x(ratio.value), axes.y(loss.value)
    share = math.sqrt(min(1.0, measured.size_bytes / max(1, measured.original_size_bytes)))
    radius = max(_SMALLEST_RADIUS, _LARGEST_RADIUS * share)
    best, classes = found.best, []
    if trial in found.front:
        classes.append("front")
    if best is not None and best.name == trial.name:
        classes.append("best")
    title = f"{trial.name}: {ratio.value:.2f} ×, loss {loss.value * 100:.2f} points"
    return (
        f"<g class='{' '.join(classes)}'><title>{escape(title)}</title>"
        f"<line class='whisker' x1='{axes.x(ratio.low):.1f}' y1='{y:.1f}' x2='{axes.x(ratio.high):.1f}' y2='{y:.1f}'/>"
        f"<line class='whisker' x1='{x:.1f}' y1='{axes.y(loss.low):.1f}' x2='{x:.1f}' y2='{axes.y(loss.high):.1f}'/>"
        f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{radius:.1f}'/></g>"
    )
