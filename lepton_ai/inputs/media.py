"""Pictures, sounds and texts in a few figures, by the pipeline's own decoders."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from lepton_ai.pipeline.operation import Call
from lepton_ai.pipeline.values import Limits

_SIDE = 64
"""A JPEG is decoded at an eighth of its size at least, if that has as many pixels a side: ten times as fast."""


@dataclass(frozen=True)
class SeenPicture:
    """What is counted of a picture."""

    width: int
    height: int
    """Pixels, as it was sent."""
    brightness: float
    """Mean of the grey picture, 0 black to 1 white."""
    contrast: float
    """Standard deviation of the same."""


@dataclass(frozen=True)
class HeardSound:
    """What is counted of a sound."""

    seconds: float
    rate_hz: int
    loudness: float
    """Root of the mean square; full scale is 1."""


def measure_picture(data: bytes) -> SeenPicture:
    """Raises InvalidInput for what cannot be decoded."""
    from lepton_ai.pipeline.pixels import Look, decode, sent_size  # Pillow, only where there are pictures

    image = decode(data, Call(Limits(), origins=("picture",)), Look("L", orient=False), reduce_to=_SIDE)
    return SeenPicture(*sent_size(image), *light_of(np.asarray(image)))


def measure_sound(data: bytes) -> HeardSound:
    """Raises InvalidInput for what cannot be decoded."""
    from lepton_ai.pipeline.sound_decoding import decode  # libsndfile, only where there are sounds

    sound = decode(data, Call(Limits(), origins=("sound",)), channel=None)
    return HeardSound(len(sound.samples) / sound.rate_hz, sound.rate_hz, loudness_of(sound.samples))


def light_of(grey: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """Brightness and contrast of a grey picture: mean and standard deviation, of black 0 and white 1."""
    pixels = grey.astype(np.float32) / 255
    return float(pixels.mean()), float(pixels.std())


def loudness_of(samples: npt.ArrayLike) -> float:
    """Root of the mean square; 0 of nothing."""
    values = np.asarray(samples, dtype=np.float64)
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def script_of(text: str) -> str:
    """The writing system of most letters, as Unicode names it: LATIN, CYRILLIC, CJK …; "none" without letters."""
    letters = Counter(_script(character) for character in text if character.isalpha())
    return letters.most_common(1)[0][0] if letters else "none"


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    return unicodedata.name(character, "OTHER").split(" ", 1)[0].split("-", 1)[0]
