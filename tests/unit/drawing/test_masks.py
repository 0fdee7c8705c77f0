"""Masks are drawn over the upright picture in the colours of their classes, with a legend of any script."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from lepton_ai.drawing import draw_mask
from lepton_ai.drawing.plates import COLOURS
from lepton_ai.errors import InvalidInput
from lepton_ai.postprocessing import Mask
from lepton_ai.prediction import Prediction

GREY = 90
PICTURE = np.full((150, 200, 3), GREY, np.uint8)
CLASSES = np.zeros((150, 200), np.uint16)
CLASSES[75:, :100], CLASSES[75:, 100:] = 1, 17
"""The upper half is of class 0, the lower quarters of classes 1 and 17."""


def drawn(names: tuple[str, ...] = ()) -> npt.NDArray[np.uint8]:
    return np.asarray(draw_mask(PICTURE, Mask(CLASSES, names)))


def mixed(index: int) -> list[int]:
    """What becomes of grey under the colour of a class."""
    return [(GREY + part) // 2 for part in COLOURS[index % len(COLOURS)]]


def plate_rows(pixels: npt.NDArray[np.uint8], index: int) -> int:
    """In how many rows at the left edge the plate of a class lies."""
    return int((pixels[:, 0] == COLOURS[index]).all(axis=1).sum())


def test_classes_have_their_colours_and_what_has_no_name_stays_as_it_is() -> None:
    pixels = drawn()
    np.testing.assert_allclose(pixels[140, 50], mixed(1), atol=1)
    np.testing.assert_allclose(pixels[140, 150], mixed(17), atol=1)
    assert (pixels[:70, 150:] == GREY).all() and plate_rows(pixels, 0) == 0
    assert (PICTURE == GREY).all()  # a copy is drawn on


@pytest.mark.parametrize("name", ["background", "__background__", "Background", "背景"])
def test_the_background_is_not_coloured(name: str) -> None:
    assert (drawn((name, "猫"))[:70, 150:] == GREY).all()


def test_a_class_0_with_a_name_is_coloured_as_all_others_and_in_the_legend() -> None:
    pixels = drawn(("道路", "небо"))
    np.testing.assert_allclose(pixels[60, 150], mixed(0), atol=1)
    assert plate_rows(pixels, 0) > 10 and plate_rows(pixels, 1) > 10


def test_the_largest_areas_are_named_first_and_only_as_many_as_there_is_room_for() -> None:
    stripes = np.repeat(np.arange(15, dtype=np.uint16), 10)[:, np.newaxis].repeat(200, axis=1)
    stripes[30:40, :100] = 4  # of which there is more than of others, and less of class 3
    pixels = np.asarray(draw_mask(PICTURE, Mask(stripes, tuple("道天树人车楼水草山桥路灯牌墙门"))))
    assert (pixels[0, 0] == COLOURS[4]).all()
    assert plate_rows(pixels, 3) == 0


def test_predictions_draw_their_masks_over_turned_photos(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: 150×200 is shown as 200×150
    path = tmp_path / "照片.jpg"
    Image.new("RGB", (150, 200), (GREY, GREY, GREY)).save(path, exif=exif)
    image = Prediction(Mask(CLASSES), None, "").draw(path)
    assert image.size == (200, 150)
    np.testing.assert_allclose(np.asarray(image)[140, 50], mixed(1), atol=3)


def test_another_picture_is_refused() -> None:
    with pytest.raises(InvalidInput, match="is 200 × 150 pixels, its mask 200 × 149"):
        draw_mask(PICTURE, Mask(CLASSES[1:]))
