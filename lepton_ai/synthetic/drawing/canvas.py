"""A picture to draw on in coordinates that may be moved, turned, scaled and mirrored: a body's, or a head's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Points = npt.NDArray[np.float64]
Colour = tuple[int, int, int]
Pair = tuple[float, float]

_CIRCLE_POINTS = 30
_CURVE_STEPS = 6
_THIN_PIXELS = 3


@dataclass(frozen=True)
class Canvas:
    """Where shapes are drawn: y points down, and one unit is what the owner of the canvas takes as his size."""

    draw: ImageDraw.ImageDraw
    matrix: Points
    """2×3: from this canvas's coordinates to pixels."""

    @classmethod
    def over(cls, image: Image.Image) -> Canvas:
        """The whole picture, in pixels."""
        return cls(ImageDraw.Draw(image), np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))

    def placed(self, x: float, y: float, *, scale: float, degrees: float = 0.0, mirrored: bool = False) -> Canvas:
        """A canvas whose origin is at a point of this one, whose unit is `scale` of this one's, and that is turned."""
        turn = math.radians(degrees)
        cosine, sine = scale * math.cos(turn), scale * math.sin(turn)
        flip = -1.0 if mirrored else 1.0
        inner = np.array([[flip * cosine, -sine, x], [flip * sine, cosine, y], [0.0, 0.0, 1.0]])
        return Canvas(self.draw, self.matrix @ inner)

    @cached_property
    def unit_pixels(self) -> float:
        """How many pixels one unit is."""
        (a, b, _), (c, d, _) = self.matrix.tolist()
        return math.sqrt(abs(a * d - b * c))

    def polygon(self, points: Sequence[Pair] | Points, fill: Colour) -> None:
        """A filled shape with straight edges."""
        self.draw.polygon(self._pixels(points), fill=fill)

    def blob(self, points: Sequence[Pair], fill: Colour) -> None:
        """A filled shape that goes smoothly through all points."""
        corners = np.asarray(points, dtype=np.float64)
        ring = np.concatenate([corners[-1:], corners, corners[:2]])
        around = np.stack([ring[shift : len(corners) + shift] for shift in range(4)], axis=1)
        self.polygon((_curve_weights() @ around).reshape(-1, 2), fill)

    def ellipse(self, x: float, y: float, width: float, height: float, fill: Colour, *, degrees: float = 0.0) -> None:
        """A filled ellipse by its centre and its half axes."""
        points = _circle() * (width, height)
        if degrees:
            turn = math.radians(degrees)
            points = points @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        self.polygon(points + np.array((x, y)), fill)

    def stroke(self, points: Sequence[Pair], width: float, fill: Colour, *, taper: float = 1.0) -> None:
        """A smooth line with round ends; `taper` is the width at its end as a share of that at its start."""
        line = _through(np.asarray(points, dtype=np.float64))
        pixels = line @ self.matrix[:, :2].T + self.matrix[:, 2]
        first, last = width * self.unit_pixels, width * taper * self.unit_pixels
        if first < _THIN_PIXELS:
            self.draw.line([*map(tuple, pixels.tolist())], fill=fill, width=max(1, round(first)))
            return
        along = np.empty_like(pixels)
        along[1:-1] = pixels[2:] - pixels[:-2]
        along[0], along[-1] = pixels[1] - pixels[0], pixels[-1] - pixels[-2]
        across = along[:, ::-1] * (-1, 1) / np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
        side = across * (first + (last - first) * np.arange(len(line)) / (len(line) - 1))[:, None] / 2
        self.draw.polygon([*map(tuple, np.concatenate([pixels + side, (pixels - side)[::-1]]).tolist())], fill=fill)
        for (x, y), radius in ((pixels[0], first / 2), (pixels[-1], last / 2)):
            self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)

    def _pixels(self, points: Sequence[Pair] | Points) -> list[tuple[float, float]]:
        moved = np.asarray(points, dtype=np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return [*map(tuple, moved.tolist())]


@cache
def _circle() -> Points:
    angles = np.linspace(0, 2 * np.pi, _CIRCLE_POINTS, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@cache
def _curve_weights() -> Points:
    """Catmull-Rom: how much each of four neighbouring points counts at each step between the middle two."""
    steps = np.linspace(0, 1, _CURVE_STEPS, endpoint=False)
    powers = np.stack([np.ones_like(steps), steps, steps**2, steps**3], axis=1)
    matrix = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2.0
    return np.asarray(powers @ matrix, dtype=np.float64)


def _through(corners: Points) -> Points:
    """A curve through points, from the first to the last."""
    if len(corners) == 2:
        return corners
    padded = np.concatenate([corners[:1], corners, corners[-1:]])
    around = np.stack([padded[shift : len(padded) - 3 + shift] for shift in range(4)], axis=1)
    return np.concatenate([(_curve_weights() @ around).reshape(-1, 2), corners[-1:]])
