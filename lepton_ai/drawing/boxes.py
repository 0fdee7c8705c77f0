"""Draws boxes with their names into a picture."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError

from lepton_ai.errors import InvalidInput
from lepton_ai.fonts import find_font, legible

if TYPE_CHECKING:
    from lepton_ai.postprocessing import Box
    from lepton_ai.tensors import Array

Picture = Image.Image | bytes | str | PathLike[str] | np.ndarray[Any, Any]
"""A Pillow image, the path or the content of an image file, or pixels uint8 [height, width] or [height, width, 3]."""

_COLOURS = (
    (230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48), (145, 30, 180), (70, 240, 240),
    (240, 50, 230), (210, 245, 60), (250, 190, 212), (0, 128, 128), (220, 190, 255), (170, 110, 40), (128, 0, 0),
    (170, 255, 195), (0, 0, 128),
)  # fmt: skip
"""Sixteen that are told apart on photos; classes take them in turn."""


def draw_boxes(picture: Picture, boxes: Sequence[Box]) -> Image.Image:
    """A copy of the picture, upright as its EXIF data says, with each box, its name and its score.

    `boxes` are those of a prediction for this picture. Raises InvalidInput when the picture cannot be read.
    """
    image = _upright(picture)
    draw = ImageDraw.Draw(image)
    shorter = min(image.size)
    line, letters = max(2, round(shorter / 200)), max(12, round(shorter / 30))
    for box in sorted(boxes, key=lambda each: each.score):  # the best lie on top
        colour = _COLOURS[box.index % len(_COLOURS)]
        corner = max(box.left, box.right - 1), max(box.top, box.bottom - 1)  # the last pixels within
        draw.rectangle((box.left, box.top, *corner), outline=colour, width=line)
    for box in sorted(boxes, key=lambda each: each.score):
        _letter(draw, box, image.size, letters)
    return image


def _letter(draw: ImageDraw.ImageDraw, box: Box, size: tuple[int, int], height: int) -> None:
    """The name and the score on a plate above the box, or within it where the picture ends."""
    text = legible(f"{box.name or f'class {box.index}'} {box.score:.0%}")
    font = find_font(text, height)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    margin = height / 5
    wide, high = right - left + 2 * margin, bottom - top + 2 * margin
    x = max(0, min(box.left, size[0] - wide))
    y = box.top - high if box.top >= high else max(0, min(box.top, size[1] - high))
    colour = _COLOURS[box.index % len(_COLOURS)]
    draw.rectangle((x, y, x + wide, y + high), fill=colour)
    ink = "black" if np.dot(colour, (0.299, 0.587, 0.114)) > 140 else "white"
    draw.text((x + margin - left, y + margin - top), text, fill=ink, font=font)


def _upright(picture: Picture) -> Image.Image:
    if isinstance(picture, np.ndarray):
        return _of_pixels(picture)
    if isinstance(picture, Image.Image):
        return ImageOps.exif_transpose(picture).convert("RGB")
    try:
        content = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
        with Image.open(BytesIO(content)) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError:
        raise InvalidInput.of_field("picture", "there is no such file", reason="FILE_NOT_FOUND") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise InvalidInput.of_field(
            "picture", "cannot be read as an image", reason="UNREADABLE_IMAGE", fix="Give a JPEG, PNG or WebP file."
        ) from None


def _of_pixels(pixels: Array) -> Image.Image:
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise InvalidInput.of_field(
            "picture",
            f"is {pixels.dtype} {list(pixels.shape)}",
            reason="NOT_AN_IMAGE",
            fix="Give pixels as uint8 [height, width, 3], red, green, blue.",
        )
    return Image.fromarray(pixels).convert("RGB")
