"""Where the pixels of a model's input picture come from, so that what it finds can be told in the picture sent."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Frame:
    """How a picture was scaled, cut and padded: its pixel (x, y) became (x·scale_x + shift_x, y·scale_y + shift_y)."""

    width: int
    """Of the upright picture as it was sent, in pixels."""
    height: int
    scale_x: float = 1.0
    scale_y: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0

    def scaled(self, factor_x: float, factor_y: float) -> Frame:
        """After the picture was resized by these factors."""
        return replace(
            self,
            scale_x=self.scale_x * factor_x,
            scale_y=self.scale_y * factor_y,
            shift_x=self.shift_x * factor_x,
            shift_y=self.shift_y * factor_y,
        )

    def shifted(self, x: float, y: float) -> Frame:
        """After the picture moved by so many pixels: right and down for a border, left and up (negative) for a cut."""
        return replace(self, shift_x=self.shift_x + x, shift_y=self.shift_y + y)
