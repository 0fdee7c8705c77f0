"""Decodes untrusted images with Pillow. The only file here that needs Pillow, imported when the first image runs."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline.image_header import BrokenHeader, ImageHeader, UnknownFormat, read_header
from lepton_ai.pipeline.operation import Call

Colour = tuple[int, int, int]
_Info = dict[str | tuple[int, int], Any]

# What Pillow's readers raise for content that is not what the header promised (found by fuzzing and in its source).
_DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, RuntimeError, AttributeError,
    struct.error, zlib.error, Image.DecompressionBombError, Warning,  # a process may turn warnings into errors
)  # fmt: skip
_EXIF_ORIENTATION = 0x0112
# The entry InteroperabilityIndex = R03 in either byte order: DCF's way to say Adobe RGB without a profile.
_EXIF_ADOBE_RGB = (b"\0\1\0\2\0\0\0\4R03\0", b"\1\0\2\0\4\0\0\0R03\0")
# What a PNG says that is in sRGB: code points of H.273, the exponent of gAMA, and cHRM's white, red, green, blue.
_SRGB_CODE = b"\x01\x0d"
_SRGB_GAMMA = 0.45455
_SRGB_CHROMATICITY = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
_TRANSPOSE_BY_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_UPRIGHT, _LYING = 1, (5, 6, 7, 8)
"""Orientations: of a picture that is as it should be, and those whose width becomes height."""
_SENT_SIZE = "lepton_sent_size"


@dataclass(frozen=True)
class Look:
    """How a picture is to come out: in mode RGB or L, upright as its EXIF data says, on a colour where transparent."""

    mode: str = "RGB"
    orient: bool = True
    background: Colour = (255, 255, 255)


def decode(data: bytes, call: Call, look: Look, *, reduce_to: int | None = None) -> Image.Image:
    """The image as it is to look. Raises InvalidInput; never returns part of an image.

    With `reduce_to`, a JPEG is decoded at the smallest of the scales 1, 1/2, 1/4, 1/8 at which both of its sides have
    at least so many pixels: fewer DCT coefficients are read into fewer pixels. Other formats come out whole.
    """
    header = _checked_header(data, call)
    try:
        image = Image.open(BytesIO(data), formats=(header.format,))
        if image.size != (header.width, header.height):
            raise _unreadable(call)
        if reduce_to is not None:
            image.draft(None, (reduce_to, reduce_to))
        was_reduced = image.size != (header.width, header.height)
        image.load()
        orientation = _orientation(image, call) if look.orient else _UPRIGHT
        made = _in_mode(_turned(image, orientation), header, call, look)
        if was_reduced:
            is_lying = orientation in _LYING
            made.info[_SENT_SIZE] = (header.height, header.width) if is_lying else (header.width, header.height)
        return made
    except InvalidInput:
        raise
    except _DECODER_ERRORS:
        # The reader's own text may quote content, so none of it goes out.
        raise _unreadable(call) from None


def sent_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of what `decode` made an image of, upright like it: more than its own if it was reduced."""
    size: tuple[int, int] = image.info.get(_SENT_SIZE, image.size)
    return size


def padded(image: Image.Image, *, size: tuple[int, int], fill: int | Colour) -> Image.Image:
    """The image in the middle of a canvas of (width, height)."""
    canvas = Image.new(image.mode, size, fill)
    canvas.paste(image, ((size[0] - image.width) // 2, (size[1] - image.height) // 2))
    return canvas


def _checked_header(data: bytes, call: Call) -> ImageHeader:
    if not data:
        raise call.refusal("is empty", reason="EMPTY_IMAGE", fix="Send the bytes of an image file.")
    try:
        header = read_header(data)
    except UnknownFormat:
        raise call.refusal(
            "is not a JPEG, PNG or WebP", reason="NOT_AN_IMAGE", fix="Send a JPEG, PNG or WebP file."
        ) from None
    except BrokenHeader:
        raise _unreadable(call) from None
    if header.animated:
        raise call.refusal(
            "is an animated image", reason="ANIMATED_IMAGE", fix="Send a single frame as JPEG, PNG or WebP."
        )
    _check_size(header, call)
    return header


def _check_size(header: ImageHeader, call: Call) -> None:
    width, height, limits = header.width, header.height, call.limits
    if width == 0 or height == 0:
        raise _unreadable(call)
    if max(width, height) > limits.max_side_pixels or width * height > limits.max_pixels:
        raise call.refusal(
            f"is {width}×{height} pixels, allowed are {limits.max_pixels:,} in all "
            f"and {limits.max_side_pixels:,} a side",
            reason="IMAGE_TOO_LARGE",
            fix="Send a smaller image.",
        )


def _unreadable(call: Call) -> InvalidInput:
    return call.refusal(
        "is truncated or damaged: it cannot be decoded completely",
        reason="UNREADABLE_IMAGE",
        fix="Check that the whole file was sent.",
    )


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    method = _TRANSPOSE_BY_ORIENTATION.get(orientation)
    return image if method is None else image.transpose(method)


def _orientation(image: Image.Image, call: Call) -> int:
    try:
        exif = image.getexif()
        # of a JPEG Pillow hides that its EXIF data could not be read: then there are data but no tags
        is_readable = bool(exif) or not image.info.get("exif")
        orientation: int = exif.get(_EXIF_ORIENTATION, _UPRIGHT)
    except _DECODER_ERRORS:
        is_readable, orientation = False, _UPRIGHT
    if not is_readable:
        call.flag("BAD_EXIF", "The EXIF data cannot be read; the image is taken as upright.")
    return orientation


def _in_mode(image: Image.Image, header: ImageHeader, call: Call, look: Look) -> Image.Image:
    if header.bit_depth > 8:
        call.flag("REDUCED_DEPTH", f"The image has {header.bit_depth} bits a channel; the upper 8 are used.")
    info = image.info
    image = _at_eight_bits(image, header)
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("1", "L", "LA") else "RGBA")
    image = _in_srgb(image, info, header, call)
    if image.mode in ("LA", "RGBA"):
        image = _flattened(image.convert("RGBA"), call, background=look.background)
    # convert() copies even when there is nothing to do
    return image if image.mode == look.mode else image.convert(look.mode)


def _at_eight_bits(image: Image.Image, header: ImageHeader) -> Image.Image:
    """Grey of 16 bits scaled to 8, and the PNG's transparent colour to the scale that the pixels have now."""
    if header.bit_depth == 8:
        return image
    transparent = image.info.get("transparency")
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip instead of scale
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if transparent is not None and image.mode in ("L", "RGB"):
        scale = 255 / ((1 << header.bit_depth) - 1)
        scaled = [int(level * scale) for level in np.atleast_1d(transparent)]
        image.info["transparency"] = tuple(scaled) if image.mode == "RGB" else scaled[0]
    return image


def _in_srgb(image: Image.Image, info: _Info, header: ImageHeader, call: Call) -> Image.Image:
    if "icc_profile" in info:
        from lepton_ai.pipeline import colours  # Little CMS only where a picture needs it

        if image.mode not in ("RGB", "RGBA", "L", "LA", "CMYK"):
            image = image.convert("L" if image.mode == "1" else "RGB")
        try:
            return colours.in_srgb(image, info["icc_profile"] or b"")
        except colours.UnusableProfile:
            call.flag("BAD_PROFILE", "The colour profile cannot be used for this image; its colours are taken as sRGB.")
    elif image.mode == "CMYK":
        call.flag(
            "NO_PROFILE", "The image has printing colours (CMYK) without a profile; what they look like is a guess."
        )
    elif _declares_other_colours(info, header):
        call.flag(
            "OTHER_COLOURS", "The image declares other colours than sRGB without a profile; they are taken as sRGB."
        )
    return image


def _declares_other_colours(info: _Info, header: ImageHeader) -> bool:
    """By a camera's EXIF data; by a PNG's chunks, of which cICP comes before sRGB, and that before gAMA and cHRM."""
    exif = info.get("exif")
    if exif and any(entry in exif for entry in _EXIF_ADOBE_RGB):
        return True
    if header.format != "PNG":
        return False
    if header.colour_code:
        return header.colour_code[:2] != _SRGB_CODE
    if "srgb" in info:
        return False
    if abs(info.get("gamma", _SRGB_GAMMA) - _SRGB_GAMMA) > 0.02:
        return True
    chromaticity = info.get("chromaticity", _SRGB_CHROMATICITY)
    return any(abs(x - y) > 0.02 for x, y in zip(chromaticity, _SRGB_CHROMATICITY, strict=True))


def _flattened(image: Image.Image, call: Call, *, background: Colour) -> Image.Image:
    low, _ = image.getchannel("A").getextrema()
    if low == 255:
        return image.convert("RGB")
    call.flag("TRANSPARENCY", "The image is partly transparent; it is laid on the pipeline's background colour.")
    canvas = Image.new("RGBA", image.size, (*background, 255))
    return Image.alpha_composite(canvas, image).convert("RGB")
