"""Brings pictures to sRGB by the colour profile that they carry. Imported when the first one carries a profile."""

from __future__ import annotations

from collections import OrderedDict
from io import BytesIO
from threading import Lock
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms

_KEPT = 16
"""How many profiles to remember; those of cameras, telephones and editors are few."""
_MAX_PROFILE_BYTES = 4 * 1024 * 1024
"""The largest in use, of printing presses, have 3 MB; what is remembered of a profile takes about as much."""
_MODE_OF_SPACE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_SAME_LEVELS = 2
"""The many makes of the sRGB profile differ by so many of 255 levels; pictures with one of them stay as they are."""
# What Little CMS and Pillow raise for profiles that are none, or lack what a conversion needs.
_PROFILE_ERRORS = (OSError, ValueError, TypeError, AttributeError, ImageCms.PyCMSError)


class UnusableProfile(ValueError):
    """A profile that cannot be read, or is of other colours than the picture's."""


class _Conversion(NamedTuple):
    mode: str
    """Of the pictures that the profile describes: RGB, L or CMYK."""
    transform: ImageCms.ImageCmsTransform | None
    """None for a profile that is sRGB already."""


_conversions: OrderedDict[bytes, _Conversion] = OrderedDict()
_lock = Lock()


def in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """A picture of mode RGB, L or CMYK in sRGB; with transparency, RGBA or LA, also that. Raises UnusableProfile.

    The picture itself comes back where its profile is sRGB, and may be the one that is changed. The rendering intent is
    perceptual, as profiles of photographs expect it.
    """
    conversion = _conversion(profile)
    mode = image.mode.removesuffix("A")
    if mode == "L" and conversion.mode == "RGB":
        mode = "RGB"  # grey is R = G = B
    if mode != conversion.mode:
        raise UnusableProfile
    if conversion.transform is None:
        return image
    opaque = image if image.mode == mode else image.convert(mode)
    if mode == "RGB":
        conversion.transform.apply_in_place(opaque)
        converted = opaque
    else:
        converted = conversion.transform.apply(opaque)
    if image.mode.endswith("A"):
        converted.putalpha(image.getchannel("A"))
    return converted


def _conversion(profile: bytes) -> _Conversion:
    if len(profile) > _MAX_PROFILE_BYTES:
        raise UnusableProfile
    with _lock:
        known = _conversions.get(profile)
        if known is not None:
            _conversions.move_to_end(profile)
            return known
    try:
        made = _made(profile)
    except _PROFILE_ERRORS:
        raise UnusableProfile from None
    with _lock:
        _conversions[profile] = made
        if len(_conversions) > _KEPT:
            _conversions.popitem(last=False)
    return made


def _made(profile: bytes) -> _Conversion:
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    mode = _MODE_OF_SPACE.get(source.profile.xcolor_space.strip())
    if mode is None:
        raise UnusableProfile
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.PERCEPTUAL)
    return _Conversion(mode, None if mode != "CMYK" and _changes_nothing(transform, mode) else transform)


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(len(levels), -1, 3)
    before = Image.fromarray(grid if mode == "RGB" else grid[:, :, 0])
    after = transform.apply(before)
    differences = np.asarray(after, dtype=np.int16) - np.asarray(before.convert("RGB"), dtype=np.int16)
    return bool(np.abs(differences).max() <= _SAME_LEVELS)
