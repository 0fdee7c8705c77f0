"""Augmentation of pictures: mirrored, cut out elsewhere, in another light, with a patch blanked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lepton_ai.datasets.augment.inputs import check_within, column, in_type, vary_pictures
from lepton_ai.datasets.batch import Batch
from lepton_ai.errors import InvalidInput

_LUMA = (0.299, 0.587, 0.114)
"""How bright red, green and blue look (ITU-R BT.601)."""
_GREY_BYTE = 127


@dataclass(frozen=True)
class Flip:
    """Mirrors pictures: left and right in a share `horizontal` of them, top and bottom in a share `vertical`."""

    horizontal: float = 0.5
    vertical: float = 0.0

    def __post_init__(self) -> None:
        check_within("horizontal", self.horizontal, 0, 1)
        check_within("vertical", self.vertical, 0, 1)

    def __call__(self, batch: Batch, random: np.random.Generator) -> Batch:
        def vary(pictures: Tensor) -> Tensor:
            for axis, share in ((2, self.horizontal), (1, self.vertical)):
                chosen = torch.from_numpy(random.random(len(pictures)) < share)
                pictures = pictures.clone()
                pictures[chosen] = pictures[chosen].flip(axis)
            return pictures

        return vary_pictures(batch, vary)


@dataclass(frozen=True)
class RandomCrop:
    """Moves pictures by up to `padding` pixels each way, as if cut from larger ones whose border repeats.

    A `padding` below 1 is a share of each side's length.
    """

    padding: int | float = 4

    def __post_init__(self) -> None:
        if self.padding < 0 or (self.padding > 1 and self.padding != int(self.padding)):
            raise InvalidInput.of_field("padding", f"is {self.padding}, must be pixels, or a share below 1 of a side")

    def __call__(self, batch: Batch, random: np.random.Generator) -> Batch:
        def vary(pictures: Tensor) -> Tensor:
            rows, height, width, channels = pictures.shape
            up, left = (self._pixels(side) for side in (height, width))
            padded = _with_border(_with_border(pictures, up, axis=1), left, axis=2)
            row, line, pixel, channel = padded.stride()
            windows = padded.as_strided(
                (rows, 2 * up + 1, 2 * left + 1, height, width, channels), (row, line, pixel, line, pixel, channel)
            )
            y, x = (torch.from_numpy(random.integers(0, 2 * most + 1, rows)) for most in (up, left))
            return windows[torch.arange(rows), y, x]

        return vary_pictures(batch, vary)

    def _pixels(self, side: int) -> int:
        return int(self.padding) if self.padding >= 1 else round(self.padding * side)


@dataclass(frozen=True)
class Colour:
    """Varies brightness, contrast and saturation, each by a factor up to `amount` above or below 1.

    Each can be given its own amount. Grey pictures have no saturation. Pictures are of bytes, or of floats from 0 to 1
    or to 255.
    """

    amount: float = 0.2
    brightness: float | None = None
    contrast: float | None = None
    saturation: float | None = None

    def __post_init__(self) -> None:
        for name in ("amount", "brightness", "contrast", "saturation"):
            check_within(name, getattr(self, name) or 0, 0, 1)

    def __call__(self, batch: Batch, random: np.random.Generator) -> Batch:
        return vary_pictures(batch, lambda pictures: self._vary(pictures, random))

    def _vary(self, pictures: Tensor, random: np.random.Generator) -> Tensor:
        white = _white(pictures)
        brightness, contrast, saturation = (
            column(random.uniform(1 - amount, 1 + amount, len(pictures)), pictures)
            for amount in (self.amount if own is None else own for own in self._own)
        )
        # b·(c·(s·x + (1−s)·grey) + (1−c)·mean), with all that is one number a picture or pixel drawn together
        values = pictures.to(torch.float32, copy=True)
        if values.shape[3] == 1:
            mean = values.mean(dim=(1, 2, 3), keepdim=True)
            varied = values.mul_(brightness * contrast).add_(brightness * (1 - contrast) * mean)
            return in_type(varied.clamp_(0, white), pictures)
        grey = (values @ torch.tensor(_LUMA)).unsqueeze(3)
        mean = grey.mean(dim=(1, 2, 3), keepdim=True)
        offset = grey.mul_(brightness * contrast * (1 - saturation)).add_(brightness * (1 - contrast) * mean)
        return in_type(values.mul_(brightness * contrast * saturation).add_(offset).clamp_(0, white), pictures)

    @property
    def _own(self) -> tuple[float | None, float | None, float | None]:
        return self.brightness, self.contrast, self.saturation


@dataclass(frozen=True)
class Cutout:
    """Blanks one square a picture, its side a share of the picture's shorter one (DeVries & Taylor 2017).

    The square may reach over the border. It becomes grey; 0 in pictures of floats.
    """

    share: float = 0.25

    def __post_init__(self) -> None:
        check_within("share", self.share, 0, 1)

    def __call__(self, batch: Batch, random: np.random.Generator) -> Batch:
        def vary(pictures: Tensor) -> Tensor:
            rows, height, width = pictures.shape[:3]
            side = max(1, round(self.share * min(height, width)))
            lines, pixels = (
                _within(random.integers(0, length, rows) - side // 2, side, length) for length in (height, width)
            )
            blank = lines.view(rows, height, 1, 1) & pixels.view(rows, 1, width, 1)
            return pictures.masked_fill(blank, _GREY_BYTE if pictures.dtype == torch.uint8 else 0)

        return vary_pictures(batch, vary)


def _white(pictures: Tensor) -> int:
    """The brightest value that there can be. Raises InvalidInput for floats that do not begin at black, 0."""
    if pictures.dtype == torch.uint8:
        return 255
    darkest, brightest = (float(value) for value in torch.aminmax(pictures))
    if darkest < 0 or brightest > 255:
        raise InvalidInput(
            f"Colours are varied in pictures from 0 (black) to 1 or to 255; these go from {darkest:.3g} to "
            f"{brightest:.3g}, as normalised ones do.",
            fix="Give the network pictures that are not normalised, and normalise them inside it, as CNN does.",
        )
    return 1 if brightest <= 1 else 255


def _with_border(pictures: Tensor, pixels: int, *, axis: int) -> Tensor:
    places = torch.arange(-pixels, pictures.shape[axis] + pixels).clamp_(0, pictures.shape[axis] - 1)
    return pictures.index_select(axis, places) if pixels else pictures.contiguous()


def _within(begins: np.ndarray[tuple[int], np.dtype[np.int64]], length: int, places: int) -> Tensor:
    """bool [rows, places]: whether a place is in the row's stretch."""
    begin = torch.from_numpy(begins).unsqueeze(1)
    place = torch.arange(places)
    return (place >= begin) & (place < begin + length)
