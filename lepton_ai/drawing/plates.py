"""Colours of classes, and their names on plates of these colours, in any script."""

from __future__ import annotations

import numpy as np
from PIL import ImageDraw

from lepton_ai.fonts import find_font, legible

Colour = tuple[int, int, int]

COLOURS: tuple[Colour, ...] = (
    (230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48), (145, 30, 180), (70, 240, 240),
    (240, 50, 230), (210, 245, 60), (250, 190, 212), (0, 128, 128), (220, 190, 255), (170, 110, 40), (128, 0, 0),
    (170, 255, 195), (0, 0, 128),
)  # fmt: skip
"""Sixteen that are told apart on photos; classes take them in turn."""


def letter_height(size: tuple[int, int]) -> int:
    """How high letters are in a picture of this width and height, in pixels."""
    return max(12, round(min(size) / 30))


class Plate:
    """What is to be read in a picture, on the colour of its class."""

    def __init__(self, draw: ImageDraw.ImageDraw, text: str, index: int, height: int) -> None:
        """`index` is that of the class, `height` that of the letters."""
        self._draw = draw
        self._text = legible(text)
        self._font = find_font(self._text, height)
        self._colour = COLOURS[index % len(COLOURS)]
        self._margin = height / 5
        self._left, self._top, right, bottom = draw.textbbox((0, 0), self._text, font=self._font)
        self.width = right - self._left + 2 * self._margin
        self.height = bottom - self._top + 2 * self._margin

    def draw_at(self, x: float, y: float) -> None:
        """Draw it with its upper left corner there."""
        self._draw.rectangle((x, y, x + self.width, y + self.height), fill=self._colour)
        ink = "black" if np.dot(self._colour, (0.299, 0.587, 0.114)) > 140 else "white"
        place = x + self._margin - self._left, y + self._margin - self._top
        self._draw.text(place, self._text, fill=ink, font=self._font)
