"""Arrays of pixels as PNG files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from lepton_ai.datasets.ready.pictures import png, png_array


@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (5, 7), (9, 4, 3)])
def test_a_picture_comes_back_to_the_bit(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    with Image.open(io.BytesIO(png(pixels))) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), pixels)


def test_a_stack_of_pictures_is_one_column() -> None:
    pixels = np.zeros((3, 4, 4), np.uint8)
    assert png_array(pixels).to_pylist() == [png(pixels[0])] * 3
