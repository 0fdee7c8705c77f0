"""Draws masks over a picture, with a legend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from lepton_ai.drawing.picture import Picture, read_upright
from lepton_ai.drawing.plates import COLOURS, Plate, letter_height
from lepton_ai.errors import InvalidInput

if TYPE_CHECKING:
    from lepton_ai.postprocessing import Mask

_OPACITY = 0.5
_NOTHING = ("", "background", "背景")
"""What class 0 is called where it is what is left beside the objects."""


def draw_mask(picture: Picture, mask: Mask) -> Image.Image:
    """A copy of the picture, upright, under the colours of its classes; their names and shares, the largest first.

    Class 0 stays as it is where it has no name or is called background. Of many classes those are named for which there
    is room. `mask` is that of a prediction for this picture. Raises InvalidInput when the picture cannot be read or has
    another size.
    """
    image = read_upright(picture)
    height, width = mask.classes.shape
    if image.size != (width, height):
        raise InvalidInput.of_field(
            "picture",
            f"is {image.width} × {image.height} pixels, its mask {width} × {height}",
            reason="OTHER_PICTURE",
            fix="Give the picture that was sent. Where a mask is that of the model's input, give what the model saw.",
        )
    hidden = 0 if not mask.names or mask.names[0].strip("_ ").casefold() in _NOTHING else None
    colours = np.array(COLOURS, dtype=np.uint8)[mask.classes % len(COLOURS)]
    drawn = Image.blend(image, Image.fromarray(colours), _OPACITY)
    if hidden is not None:
        drawn.paste(image, mask=Image.fromarray((mask.classes == hidden).astype(np.uint8) * 255))
    _draw_legend(drawn, [(mask.name_of(index), index, share) for index, share in mask.areas() if index != hidden])
    return drawn


def _draw_legend(image: Image.Image, areas: list[tuple[str, int, float]]) -> None:
    draw, y = ImageDraw.Draw(image), 0.0
    for name, index, share in areas:
        plate = Plate(draw, f"{name} {share:.1%}", index, letter_height(image.size))
        if y and y + plate.height > image.height:
            break
        plate.draw_at(0, y)
        y += plate.height
