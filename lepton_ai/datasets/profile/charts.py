"""Small pictures for the page, as inline SVG that takes its colours from the page's style."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np

from lepton_ai.datasets.profile.columns import Histogram
from lepton_ai.tensors import Array

_WIDTH, _HEIGHT = 320, 84
_SHOWN_BARS = 12


def histogram(drawn: Histogram) -> str:
    """Bars over the range of the values, with its ends written below."""
    most = max(drawn.counts) or 1
    step = _WIDTH / len(drawn.counts)
    rectangles = []
    for at, count in enumerate(drawn.counts):
        height = max(1.0 if count else 0.0, count / most * _HEIGHT)
        span = f"{drawn.edges[at]:.4g} to {drawn.edges[at + 1]:.4g}: {count:,}"
        rectangles.append(
            f"<rect x='{at * step:.1f}' y='{_HEIGHT - height:.1f}' width='{step - 1:.1f}' height='{height:.1f}' rx='1'>"
            f"<title>{span}</title></rect>"
        )
    below = f"<span>{drawn.edges[0]:.4g}</span><span>{escape(drawn.measure)}</span><span>{drawn.edges[-1]:.4g}</span>"
    svg = f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' preserveAspectRatio='none' role='img'>{''.join(rectangles)}</svg>"
    return f"<figure class='chart'>{svg}<figcaption>{below}</figcaption></figure>"


def bars(counts: Mapping[str, int]) -> str:
    """One line for each name, longest first, with its count."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    most = max((count for _, count in ordered), default=1) or 1
    lines = "".join(
        f"<div class='bar'><span class='name' title='{escape(name, quote=True)}'>{escape(name)}</span>"
        f"<span class='track'><i style='width:{100 * count / most:.1f}%'></i></span><span>{count:,}</span></div>"
        for name, count in ordered[:_SHOWN_BARS]
    )
    rest = len(ordered) - _SHOWN_BARS
    return f"<div class='bars'>{lines}</div>" + (f"<p class='note'>and {rest} more</p>" if rest > 0 else "")


def wave(peaks: Array) -> str:
    """A sound as a band around a middle line."""
    heights = np.asarray(peaks, dtype=np.float64)
    reach = (19 * heights / (heights.max(initial=0.0) or 1.0)).tolist()
    lines = "".join(
        f"<line x1='{at + 0.5}' x2='{at + 0.5}' y1='{20 - far:.1f}' y2='{20 + far:.1f}'/>"
        for at, far in enumerate(reach)
    )
    return f"<svg class='wave' viewBox='0 0 {len(peaks)} 40' preserveAspectRatio='none'>{lines}</svg>"
