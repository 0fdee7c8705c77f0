"""Boxes are drawn where they are, in the upright picture, with names of any script."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from lepton_ai.drawing import draw_boxes, save_drawn
from lepton_ai.errors import FailedPrecondition, InvalidInput, LeptonError
from lepton_ai.outputs import Outputs
from lepton_ai.postprocessing import Box, Boxes, Labels, RowAnswer

BOX = Box("cat", 0.87, 20, 60, 80, 120, 3)
GREY = (90, 90, 90)


def changed(image: Image.Image) -> npt.NDArray[np.bool_]:
    """Where the picture is no longer grey, as [height, width]."""
    is_grey: npt.NDArray[np.bool_] = (np.asarray(image) == GREY).all(axis=2)
    return ~is_grey


def test_a_box_is_drawn_at_its_edges_with_its_name_above() -> None:
    picture = Image.new("RGB", (200, 150), GREY)
    drawn = changed(draw_boxes(picture, [BOX]))
    assert drawn[60, 20:80].all() and drawn[119, 20:80].all()
    assert drawn[60:120, 20].all() and drawn[60:120, 79].all()
    assert not drawn[63:117, 23:77].any() and not drawn[121:].any()
    assert drawn[48:60, 20:60].any(axis=1).all()
    assert not changed(picture).any()  # a copy is drawn on


@pytest.mark.parametrize("box", [(0, 0, 40, 30), (170, 0, 200, 150), (0, 0, 200, 150), (190, 140, 200, 150)])
def test_the_plate_stays_within_the_picture(box: tuple[int, int, int, int]) -> None:
    image = draw_boxes(Image.new("RGB", (200, 150), GREY), [Box("motorcycle", 0.5, *box, 0)])
    plate = (np.asarray(image) == (230, 25, 75)).all(axis=2)
    assert image.size == (200, 150) and plate.sum() > 500


def test_a_box_may_be_smaller_than_a_pixel() -> None:
    assert changed(draw_boxes(Image.new("RGB", (9, 9), GREY), [Box("x", 0.5, 4.2, 4.2, 4.3, 4.3, 0)])).any()


def test_names_of_any_script_are_drawn_or_written_as_codes() -> None:
    for name in ("猫", "котёнок", "", "a" * 200):
        assert changed(draw_boxes(np.full((150, 200, 3), 90, np.uint8), [BOX._replace(name=name)])).any()


def test_a_turned_photo_is_drawn_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: 200×100 is shown as 100×200
    path = tmp_path / "照片.jpg"
    Image.new("RGB", (200, 100), GREY).save(path, exif=exif)
    for picture in (path, str(path), path.read_bytes(), Image.open(path)):
        image = draw_boxes(picture, [BOX])
        assert image.size == (100, 200)
        assert tuple(image.getpixel((50, 60))) != GREY  # type: ignore[arg-type]
        saved = BytesIO()
        image.save(saved, "JPEG")
        assert Image.open(saved).getexif().get(0x0112, 1) == 1


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "x.jpg"
    broken.write_bytes(b"no picture")
    pictures = {broken: "UNREADABLE_IMAGE", tmp_path / "none.jpg": "FILE_NOT_FOUND"}
    for picture, reason in pictures.items():
        with pytest.raises(InvalidInput) as raised:
            draw_boxes(picture, [])
        assert raised.value.reason == reason
    with pytest.raises(InvalidInput):
        draw_boxes(np.zeros((3, 4, 4), np.float32), [])


class Found(Outputs):
    def __init__(self, answer: RowAnswer | None, error: LeptonError | None = None) -> None:
        self.answer, self.error, self.outputs = answer, error, {}


def test_predictions_draw_what_they_found(tmp_path: Path) -> None:
    picture = np.full((150, 200, 3), 90, np.uint8)
    assert changed(Found(Boxes([BOX])).draw(picture)).any()
    with pytest.raises(FailedPrecondition, match="no boxes"):
        Found(Labels([])).draw(picture)
    with pytest.raises(InvalidInput, match="its own"):
        Found(None, InvalidInput("its own")).draw(picture)


def test_drawn_pictures_are_saved_under_a_name_or_in_a_folder(tmp_path: Path) -> None:
    paths = [tmp_path / name / "猫.png" for name in "abc"]
    for path in paths:
        path.parent.mkdir()
        Image.new("RGB", (200, 150), GREY).save(path)
    found = [Found(Boxes([BOX])), Found(None, InvalidInput("broken")), Found(Boxes([]))]
    assert save_drawn(tmp_path / "out.jpg", paths[:1], found) == [tmp_path / "out.jpg"]
    folder = tmp_path / "new" / "folder"
    assert save_drawn(folder, paths, found) == [folder / "猫.jpg", folder / "猫-3.jpg"]
    with Image.open(folder / "猫.jpg") as saved:
        assert saved.size == (200, 150)
    for target, count in [("out.jpg", 2), ("out.txt", 1), ("out", 1), ("out.jpg", 0)]:
        with pytest.raises(InvalidInput, match="draw"):
            save_drawn(tmp_path / target, paths[:count], found)
