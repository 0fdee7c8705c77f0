"""Pictures as people hand them over, as images that can be drawn on."""

from __future__ import annotations

from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lepton_ai.errors import InvalidInput

if TYPE_CHECKING:
    from lepton_ai.tensors import Array

Picture = Image.Image | bytes | str | PathLike[str] | np.ndarray[Any, Any]
"""A Pillow image, the path or the content of an image file, or pixels uint8 [height, width] or [height, width, 3]."""


def read_upright(picture: Picture) -> Image.Image:
    """A copy of the picture in RGB, upright as its EXIF data says. Raises InvalidInput when it cannot be read."""
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
