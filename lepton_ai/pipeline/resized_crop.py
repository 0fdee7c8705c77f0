"""Resize and crop in one go: only the pixels that the crop keeps are computed, and they are the same to the bit."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING, Any

from lepton_ai.pipeline.frames import Frame
from lepton_ai.pipeline.image import FILTERS, Box, CenterCrop, Crop, Resize
from lepton_ai.pipeline.operation import Call, Operation

if TYPE_CHECKING:
    from PIL.Image import Image

_FLOAT_BITS = 24  # of a single-precision number's significand


@dataclass(frozen=True)
class ResizedCrop:
    """What stands in for a resize whose result goes into a crop and nowhere else."""

    resize: Resize
    crop: CenterCrop | Crop

    @classmethod
    def of(cls, first: Operation, second: Operation) -> ResizedCrop | None:
        """The two in one, when they are such a pair. Nearest stays alone: it is cheap, and sums up its steps."""
        if isinstance(first, Resize) and first.filter != "nearest" and isinstance(second, CenterCrop | Crop):
            return cls(first, second)
        return None

    @property
    def name(self) -> str:
        """Both names, as a trace shows them."""
        return f"{self.resize.name}+{self.crop.name}"

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        """What the two would make of an image one after the other, refusals included."""
        image: Image = values[0]
        scaled = self.resize.target(image.size, call)
        wanted = self.crop.rectangle(scaled, call)
        made = _to_compute(wanted, image.size, scaled)
        left, top, right, bottom = made
        across, down = image.width / scaled[0], image.height / scaled[1]
        resized = image.resize(
            (right - left, bottom - top),
            FILTERS[self.resize.filter],
            box=(left * across, top * down, right * across, bottom * down),
        )
        if made != wanted:
            resized = resized.crop((wanted[0] - left, wanted[1] - top, wanted[2] - left, wanted[3] - top))
        return (resized,)

    def reframed(self, frame: Frame | None, before: Any, after: Any) -> Frame | None:
        """The frame of what `apply` made."""
        scaled = self.resize.target_of(*before.size)
        left, top = self.crop.corner(scaled)
        return frame and frame.scaled(scaled[0] / before.width, scaled[1] / before.height).shifted(-left, -top)


def _to_compute(wanted: Box, size: tuple[int, int], scaled: tuple[int, int]) -> Box:
    """The part of the scaled image that holds the wanted one and comes out as in the whole."""
    left, right = (wanted[0], wanted[2]) if _can_cut(size[0], scaled[0]) else (0, scaled[0])
    top, bottom = (wanted[1], wanted[3]) if _can_cut(size[1], scaled[1]) else (0, scaled[1])
    # Pillow rounds to 8 bits between its two passes, so the one that comes first must stay the first.
    if _is_vertical_first(size, (right - left, bottom - top)) != _is_vertical_first(size, scaled):
        return (0, 0, *scaled)
    return (left, top, right, bottom)


def _can_cut(length: int, scaled: int) -> bool:
    """Whether the edge of any scaled pixel is a single-precision number, as which Pillow takes a box, in the source.

    So it is for a side of 256, whatever the image. A length that stays the same spares Pillow a pass over the image,
    which a cut would not.
    """
    denominator = scaled // gcd(length, scaled)
    is_power_of_two = denominator & (denominator - 1) == 0
    return length != scaled and is_power_of_two and length * denominator <= 1 << _FLOAT_BITS


def _is_vertical_first(size: tuple[int, int], scaled: tuple[int, int]) -> bool:
    """Pillow 13's rule, found by experiment; before 13 the horizontal pass always came first."""
    return size[1] > scaled[1] and size[1] - scaled[1] > 2 * (size[0] - scaled[0])
