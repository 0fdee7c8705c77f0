"""Image operations: decode, resize, crop, pad, letterbox. Between steps an image is a Pillow image of mode RGB or L."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from lepton_ai.pipeline.frames import Frame
from lepton_ai.pipeline.operation import UNKNOWN, Call, Misfit, Spec, ValueOperation, expect

if TYPE_CHECKING:
    from PIL.Image import Image

Side = Annotated[int, Field(ge=1, le=16_384)]
Size = tuple[Side, Side]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom; right and bottom excluded."""
Byte = Annotated[int, Field(ge=0, le=255)]

# PIL.Image.Resampling by name; the numbers are Pillow's public API and spare importing it to load a pipeline.
FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}


class DecodeImage(ValueOperation):
    """Decodes a JPEG, PNG or WebP to pixels, upright as its EXIF data says."""

    name: ClassVar[str] = "decode_image"
    mode: Literal["RGB", "L"] = Field(default="RGB", description="Colour (RGB) or grey (L).")
    orient: bool = Field(default=True, description="Turn the image upright as its EXIF orientation says.")
    background: tuple[Byte, Byte, Byte] = Field(
        default=(255, 255, 255), description="Colour under transparent pixels, as red, green, blue."
    )
    reduce_to: Side | None = Field(
        default=None,
        description="Decode a JPEG at a half, a quarter or an eighth of its size while both sides keep so many pixels: "
        "faster, its pixels differ a little (null: never).",
    )

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        expect(given[0], "image")
        if given[0].shape:
            raise Misfit("input", "is decoded already")
        return (Spec("image", "UINT8", (UNKNOWN, UNKNOWN, 3 if self.mode == "RGB" else 1)),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        from lepton_ai.pipeline import pixels  # Pillow only where images run: loading and checking need none

        look = pixels.Look(self.mode, self.orient, self.background)
        return (pixels.decode(values[0], call, look, reduce_to=self.reduce_to),)

    def reframed(self, frame: Frame | None, before: Any, after: Any) -> Frame:
        from lepton_ai.pipeline import pixels

        width, height = pixels.sent_size(after)
        return Frame(width, height).scaled(after.width / width, after.height / height)


class Resize(ValueOperation):
    """Scales an image to a size, or so that one side has a length and the proportions stay."""

    name: ClassVar[str] = "resize"
    size: Size | Side = Field(description="[width, height], or the length of one side.")
    side: Literal["shorter", "longer", "width", "height"] = Field(
        default="shorter", description="Which side gets the length when size is one number."
    )
    filter: Literal["nearest", "bilinear", "bicubic", "lanczos"] = Field(
        default="bilinear", description="Resampling filter; all but nearest are antialiased when shrinking."
    )

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        height, width, channels = _decoded(given[0])
        if isinstance(self.size, tuple):
            width, height = self.size
        elif UNKNOWN not in (width, height):
            width, height = self.target_of(width, height)
        else:
            width = self.size if self.side == "width" else UNKNOWN
            height = self.size if self.side == "height" else UNKNOWN
        return (Spec("image", "UINT8", (height, width, channels)),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        image: Image = values[0]
        return (image.resize(self.target(image.size, call), FILTERS[self.filter]),)

    def reframed(self, frame: Frame | None, before: Any, after: Any) -> Frame | None:
        return frame and frame.scaled(after.width / before.width, after.height / before.height)

    def target(self, size: Size, call: Call) -> Size:
        """Width and height that an image of this size gets. Raises InvalidInput when that is too large."""
        width, height = self.target_of(*size)
        if width * height > call.limits.max_pixels:
            raise call.refusal(
                f"would be resized to {width}×{height} pixels, at most {call.limits.max_pixels} are allowed",
                reason="IMAGE_TOO_LARGE",
                fix="Send an image that is less elongated.",
            )
        return width, height

    def target_of(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that an image of this size gets.

        The other side is truncated, as in torchvision, so that models trained with it see the same pixels.
        """
        if isinstance(self.size, tuple):
            return self.size
        sides = {"shorter": min(width, height), "longer": max(width, height), "width": width, "height": height}
        measured = sides[self.side]
        wide, high = self.size * width // measured, self.size * height // measured
        return max(1, wide), max(1, high)


class CenterCrop(ValueOperation):
    """Cuts a rectangle out of the middle of an image."""

    name: ClassVar[str] = "center_crop"
    size: Size | Side = Field(description="[width, height], or the side of a square.")

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        height, width, channels = _decoded(given[0])
        wanted = _pair(self.size)
        if _exceeds(wanted, (width, height)):
            raise Misfit("size", f"{list(wanted)} is larger than the image, which is {width}×{height} here")
        return (Spec("image", "UINT8", (wanted[1], wanted[0], channels)),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        image: Image = values[0]
        return (image.crop(self.rectangle(image.size, call)),)

    def rectangle(self, size: Size, call: Call) -> Box:
        """What to cut out of an image of this size. Raises InvalidInput when that is too small."""
        width, height = _pair(self.size)
        if _exceeds((width, height), size):
            raise _too_small(size, (width, height), call)
        left, top = self.corner(size)
        return left, top, left + width, top + height

    def corner(self, size: Size) -> tuple[int, int]:
        """Left and top of the rectangle in an image of this size."""
        width, height = _pair(self.size)
        # rounds as torchvision's CenterCrop does
        return round((size[0] - width) / 2), round((size[1] - height) / 2)

    def reframed(self, frame: Frame | None, before: Any, after: Any) -> Frame | None:
        left, top = self.corner(before.size)
        return frame and frame.shifted(-left, -top)


class Crop(ValueOperation):
    """Cuts a fixed rectangle out of an image."""

    name: ClassVar[str] = "crop"
    box: Box = Field(description="[left, top, right, bottom] in pixels; right and bottom excluded.")

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        height, width, channels = _decoded(given[0])
        left, top, right, bottom = self.box
        if not (0 <= left < right <= 16_384 and 0 <= top < bottom <= 16_384):
            raise Misfit("box", f"{list(self.box)} is not a rectangle", fix="Give [left, top, right, bottom].")
        if _exceeds((right, bottom), (width, height)):
            raise Misfit("box", f"{list(self.box)} lies outside the image, which is {width}×{height} here")
        return (Spec("image", "UINT8", (bottom - top, right - left, channels)),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        image: Image = values[0]
        return (image.crop(self.rectangle(image.size, call)),)

    def rectangle(self, size: Size, call: Call) -> Box:
        """What to cut out of an image of this size. Raises InvalidInput when that is too small."""
        if _exceeds(self.box[2:], size):
            raise _too_small(size, self.box[2:], call)
        return self.box

    def corner(self, size: Size) -> tuple[int, int]:
        """Left and top of the rectangle."""
        return self.box[0], self.box[1]

    def reframed(self, frame: Frame | None, before: Any, after: Any) -> Frame | None:
        return frame and frame.shifted(-self.box[0], -self.box[1])


class Pad(ValueOperation):
    """Puts an image in the middle of a larger canvas."""

    name: ClassVar[str] = "pad"
    size: Size | Side = Field(description="[width, height] of the canvas, or the side of a square.")
    fill: tuple[Byte, Byte, Byte] | Byte = Field(default=0, description="Grey level, or red, green, blue.")

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        height, width, channels = _decoded(given[0])
        wanted = _pair(self.size)
        if UNKNOWN not in (width, height) and _exceeds((width, height), wanted):
            raise Misfit("size", f"{list(wanted)} is smaller than the image, which is {width}×{height} here")
        if channels == 1 and isinstance(self.fill, tuple):
            raise Misfit("fill", "is a colour but the image is grey", fix="Give one number.")
        return (Spec("image", "UINT8", (wanted[1], wanted[0], channels)),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        from lepton_ai.pipeline import pixels  # Pillow only where images run: loading and checking need none

        image: Image = values[0]
        wanted = _pair(self.size)
        if _exceeds(image.size, wanted):
            raise call.refusal(
                f"is {image.width}×{image.height} pixels where at most {wanted[0]}×{wanted[1]} fit",
                reason="IMAGE_TOO_LARGE",
                fix="Resize by the longer side before padding.",
            )
        return (pixels.padded(image, size=wanted, fill=_of_mode(self.fill, image.mode)),)

    def reframed(self, frame: Frame | None, before: Any, after: Any) -> Frame | None:
        return frame and frame.shifted((after.width - before.width) // 2, (after.height - before.height) // 2)


class Letterbox(ValueOperation):
    """Scales an image to fit a size, its proportions kept, and fills the border, as detectors want it."""

    name: ClassVar[str] = "letterbox"
    size: Size | Side = Field(description="[width, height] of the result, or the side of a square.")
    fill: tuple[Byte, Byte, Byte] | Byte = Field(default=114, description="Grey level, or red, green, blue.")
    filter: Literal["nearest", "bilinear", "bicubic", "lanczos"] = Field(
        default="bilinear", description="Resampling filter; all but nearest are antialiased when shrinking."
    )

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        channels = _decoded(given[0])[2]
        if channels == 1 and isinstance(self.fill, tuple):
            raise Misfit("fill", "is a colour but the image is grey", fix="Give one number.")
        width, height = _pair(self.size)
        return (Spec("image", "UINT8", (height, width, channels)),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        from lepton_ai.pipeline import pixels  # Pillow only where images run: loading and checking need none

        image: Image = values[0]
        scaled = image.resize(self._scaled(image.size), FILTERS[self.filter])
        return (pixels.padded(scaled, size=_pair(self.size), fill=_of_mode(self.fill, image.mode)),)

    def reframed(self, frame: Frame | None, before: Any, after: Any) -> Frame | None:
        width, height = self._scaled(before.size)
        scaled = frame and frame.scaled(width / before.width, height / before.height)
        return scaled and scaled.shifted((after.width - width) // 2, (after.height - height) // 2)

    def _scaled(self, size: Size) -> Size:
        """Width and height of the image within the border."""
        wanted = _pair(self.size)
        factor = min(wanted[0] / size[0], wanted[1] / size[1])
        return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _of_mode(fill: tuple[int, int, int] | int, mode: str) -> tuple[int, int, int] | int:
    return (fill, fill, fill) if isinstance(fill, int) and mode == "RGB" else fill


def _pair(size: Size | int) -> Size:
    return size if isinstance(size, tuple) else (size, size)


def _decoded(spec: Spec) -> tuple[int, int, int]:
    expect(spec, "image")
    if not spec.shape:
        raise Misfit("input", "is still encoded", fix="Put a decode_image step before this one.")
    height, width, channels = spec.shape
    return height, width, channels


def _exceeds(wanted: tuple[int, ...], available: tuple[int, ...]) -> bool:
    """Whether a side is longer than there is; an unknown side is decided when the item runs."""
    return any(have != UNKNOWN and want > have for want, have in zip(wanted, available, strict=True))


def _too_small(size: Size, wanted: tuple[int, ...], call: Call) -> Exception:
    return call.refusal(
        f"is {size[0]}×{size[1]} pixels at this step, at least {wanted[0]}×{wanted[1]} are needed",
        reason="IMAGE_TOO_SMALL",
        fix="Send a larger image, or resize before cropping.",
    )
