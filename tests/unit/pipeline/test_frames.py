"""Pipelines tell how they moved the pixels of a picture."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from lepton_ai.pipeline import Pipeline
from lepton_ai.pipeline.frames import Frame


def frame_of(*steps: dict[str, Any], size: tuple[int, int] = (400, 200)) -> Frame:
    content = BytesIO()
    Image.new("RGB", size).save(content, "PNG")
    document = {
        "inputs": {"照片": "image"},
        "steps": [{"op": "decode_image", "input": "照片"}, *steps, {"op": "to_tensor", "output": "x"}],
    }
    return Pipeline.load(document).run({"照片": content.getvalue()}).frames["x"]


def test_a_picture_that_is_only_decoded_keeps_its_pixels() -> None:
    assert frame_of() == Frame(400, 200)


@pytest.mark.parametrize(
    ("steps", "scale", "shift"),
    [
        ([{"op": "resize", "size": [100, 100]}], (0.25, 0.5), (0, 0)),
        ([{"op": "crop", "box": [10, 20, 110, 120]}], (1, 1), (-10, -20)),
        ([{"op": "center_crop", "size": 100}], (1, 1), (-150, -50)),
        ([{"op": "pad", "size": [500, 400]}], (1, 1), (50, 100)),
        ([{"op": "resize", "size": 100, "side": "longer"}, {"op": "pad", "size": 100}], (0.25, 0.25), (0, 25)),
        ([{"op": "resize", "size": 100}, {"op": "center_crop", "size": 80}], (0.5, 0.5), (-60, -10)),
        ([{"op": "resize", "size": 100}, {"op": "crop", "box": [8, 4, 88, 84]}], (0.5, 0.5), (-8, -4)),
        ([{"op": "letterbox", "size": 100}], (0.25, 0.25), (0, 25)),
        ([{"op": "letterbox", "size": [300, 50]}], (0.25, 0.25), (100, 0)),
        ([{"op": "crop", "box": [20, 10, 40, 30]}, {"op": "resize", "size": [40, 40]}], (2, 2), (-40, -20)),
    ],
)
def test_steps_add_up(steps: list[dict[str, Any]], scale: tuple[float, float], shift: tuple[float, float]) -> None:
    frame = frame_of(*steps)
    assert (frame.scale_x, frame.scale_y) == pytest.approx(scale)
    assert (frame.shift_x, frame.shift_y) == pytest.approx(shift)
    assert (frame.width, frame.height) == (400, 200)


def test_tensors_of_other_inputs_have_no_frame() -> None:
    document = {"inputs": {"x": "number"}, "steps": [{"op": "concat", "on": ["x"], "output": "row"}]}
    assert Pipeline.load(document).run({"x": 1.0}).frames == {}
