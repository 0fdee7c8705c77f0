"""How one animal looks and stands, chosen alike for cats and dogs: neither colours nor poses tell them apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from lepton_ai.synthetic.drawing.canvas import Colour

T = TypeVar("T")
Pose = Literal["face", "sitting", "standing", "walking", "lying"]

_POSES: tuple[Pose, ...] = ("face", "sitting", "standing", "walking", "lying")
_PATTERNS: tuple[str, ...] = ("plain", "plain", "patches", "stripes", "mask")
_FURS: tuple[Colour, ...] = (
    (58, 54, 56), (92, 88, 90), (142, 138, 140), (190, 186, 182), (232, 228, 220),
    (96, 62, 38), (140, 94, 56), (182, 130, 78), (214, 172, 120), (236, 208, 168), (196, 112, 50), (222, 146, 74),
)  # fmt: skip
_IRISES: tuple[Colour, ...] = ((96, 130, 60), (190, 150, 50), (92, 58, 34), (70, 110, 150), (60, 42, 34))
_NOSES: tuple[Colour, ...] = ((36, 30, 32), (70, 48, 44), (206, 128, 128))
_COLLARS: tuple[Colour, ...] = ((196, 52, 52), (52, 92, 190), (60, 150, 80), (226, 180, 50), (226, 130, 150))


@dataclass(frozen=True)
class Look:
    """One animal. Lengths and angles are shares and degrees that the drawing of each part makes use of."""

    pose: Pose
    pattern: str
    fur: Colour
    dark: Colour
    light: Colour
    second: Colour
    """Of patches, stripes and masks."""
    iris: Colour
    nose: Colour
    collar: Colour | None
    eyes_shut: bool
    mouth_open: bool
    ear: float
    """0.8 short to 1.25 long."""
    plump: float
    tail: float
    """0.8 short to 1.25 long; also how far it is raised."""
    stride: float
    head_degrees: float


def choose_look(random: np.random.Generator) -> Look:
    """An animal of any colour in any pose."""
    base = np.array(_pick(random, _FURS)) + random.normal(0, 10, 3)
    fur = _colour(base)
    return Look(
        pose=_pick(random, _POSES),
        pattern=_pick(random, _PATTERNS),
        fur=fur,
        dark=_colour(base * random.uniform(0.6, 0.78)),
        light=_colour(base + (255 - base) * random.uniform(0.3, 0.65)),
        second=_colour(np.array(_pick(random, _FURS)) + random.normal(0, 8, 3)),
        iris=_pick(random, _IRISES),
        nose=_pick(random, _NOSES),
        collar=_pick(random, _COLLARS) if random.random() < 0.35 else None,
        eyes_shut=bool(random.random() < 0.1),
        mouth_open=bool(random.random() < 0.55),
        ear=float(random.uniform(0.8, 1.25)),
        plump=float(random.uniform(0.85, 1.2)),
        tail=float(random.uniform(0.8, 1.25)),
        stride=float(random.uniform(-1, 1)),
        head_degrees=float(np.clip(random.normal(0, 9), -22, 22)),
    )


def _pick(random: np.random.Generator, values: tuple[T, ...]) -> T:
    return values[int(random.integers(len(values)))]


def _colour(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Colour:
    red, green, blue = (int(value) for value in np.clip(values, 8, 247))
    return red, green, blue
