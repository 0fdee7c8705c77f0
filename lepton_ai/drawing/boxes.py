"""Draws boxes with their names into a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from lepton_ai.drawing.picture import Picture, read_upright
from lepton_ai.drawing.plates import COLOURS, Plate, letter_height

if TYPE_CHECKING:
    from lepton_ai.postprocessing import Box


def draw_boxes(picture: Picture, boxes: Sequence[Box]) -> Image.Image:
    """A copy of the picture, upright as its EXIF data says, with each box, its name and its score.

    `boxes` are those of a prediction for this picture. Raises InvalidInput when the picture cannot be read.
    """
    image = read_upright(picture)
    draw = ImageDraw.Draw(image)
    line = max(2, round(min(image.size) / 200))
    for box in sorted(boxes, key=lambda each: each.score):  # the best lie on top
        colour = COLOURS[box.index % len(COLOURS)]
        corner = max(box.left, box.right - 1), max(box.top, box.bottom - 1)  # the last pixels within
        draw.rectangle((box.left, box.top, *corner), outline=colour, width=line)
    for box in sorted(boxes, key=lambda each: each.score):
        _letter(draw, box, image.size)
    return image


def _letter(draw: ImageDraw.ImageDraw, box: Box, size: tuple[int, int]) -> None:
    """The name and the score on a plate above the box, or within it where the picture ends."""
    plate = Plate(draw, f"{box.name or f'class {box.index}'} {box.score:.0%}", box.index, letter_height(size))
    x = max(0, min(box.left, size[0] - plate.width))
    above = box.top - plate.height
    plate.draw_at(x, above if above >= 0 else max(0, min(box.top, size[1] - plate.height)))
