"""Where the pixels of a model's input picture come from, so that what it finds can be told in the picture sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from lepton_ai.v1 import preprocess_pb2


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

    def to_proto(self, tensor: str) -> preprocess_pb2.ImageFrame:
        """As the frame of the picture that this tensor was made of."""
        return preprocess_pb2.ImageFrame(
            tensor=tensor,
            width=self.width,
            height=self.height,
            scale_x=self.scale_x,
            scale_y=self.scale_y,
            shift_x=self.shift_x,
            shift_y=self.shift_y,
        )


def read_frames(messages: Iterable[preprocess_pb2.ImageFrame]) -> dict[str, Frame]:
    """Frames by the name of their tensor."""
    return {
        each.tensor: Frame(each.width, each.height, each.scale_x, each.scale_y, each.shift_x, each.shift_y)
        for each in messages
    }


def only_frame(frames: Mapping[str, Frame]) -> Frame | None:
    """The frame of an item's only picture; None where there is none, or several that were moved differently."""
    found = set(frames.values())
    return found.pop() if len(found) == 1 else None


@runtime_checkable
class Reframing(Protocol):
    """An operation that moves the pixels of a picture."""

    def reframed(self, frame: Frame | None, before: Any, after: Any) -> Frame | None:
        """The frame of `after`, which the operation made of `before`, whose frame is `frame` (None: not known)."""
