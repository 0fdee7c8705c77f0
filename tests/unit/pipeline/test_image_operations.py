"""resize, crops, pad, letterbox, to_tensor, normalize: geometry, layouts, what is refused at load or for one item."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Limits, Pipeline
from lepton_ai.tensors import Array
from tests.unit.pipeline.images import encoded, gradient

LAST = {"op": "to_tensor", "dtype": "UINT8", "layout": "HWC", "output": "image"}


def pipeline(*steps: dict[str, Any], last: dict[str, Any] | None = None) -> Pipeline:
    return Pipeline.load({"inputs": {"photo": "image"}, "steps": [{"op": "decode_image"}, *steps, last or LAST]})


def run(*steps: dict[str, Any], image: Image.Image, last: dict[str, Any] | None = None) -> Array:
    return pipeline(*steps, last=last).run({"photo": encoded(image, "PNG")}).tensors["image"]


def test_resize_to_a_size_and_by_one_side() -> None:
    image = gradient(40, 20)
    assert run({"op": "resize", "size": [8, 6]}, image=image).shape == (6, 8, 3)
    assert run({"op": "resize", "size": 10}, image=image).shape == (10, 20, 3)
    assert run({"op": "resize", "size": 10, "side": "longer"}, image=image).shape == (5, 10, 3)
    for upright in (image, image.transpose(Image.Transpose.ROTATE_90)):
        assert run({"op": "resize", "size": 10, "side": "height"}, image=upright).shape[0] == 10
        assert run({"op": "resize", "size": 10, "side": "width"}, image=upright).shape[1] == 10


def test_the_side_that_gets_the_length_is_known_at_load() -> None:
    (output,) = pipeline({"op": "resize", "size": 48, "side": "height"}).outputs
    assert output.shape == (48, -1, 3)


@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_every_filter_is_pillows(name: str) -> None:
    image = gradient(40, 20)
    expected = image.resize((13, 9), Image.Resampling[name.upper()])
    np.testing.assert_array_equal(
        run({"op": "resize", "size": [13, 9], "filter": name}, image=image), np.asarray(expected)
    )


@given(width=st.integers(1, 60), height=st.integers(1, 60), size=st.integers(1, 40))
def test_resize_by_the_shorter_side_keeps_proportions_as_torchvision_does(width: int, height: int, size: int) -> None:
    shape = run({"op": "resize", "size": size, "filter": "nearest"}, image=Image.new("L", (width, height))).shape
    short, long = sorted((width, height))
    expected = (size, int(size * long / short)) if width > height else (int(size * long / short), size)
    assert shape[:2] == (size, size) if short == long else shape[:2] == expected


def test_an_elongated_image_cannot_blow_up() -> None:
    image = encoded(Image.new("L", (4000, 1)), "PNG")
    with pytest.raises(InvalidInput) as raised:
        pipeline({"op": "resize", "size": 256}).run({"photo": image}, limits=Limits(max_pixels=100_000))
    assert raised.value.reason == "IMAGE_TOO_LARGE"


def test_center_crop_takes_the_middle() -> None:
    image = gradient(10, 8)
    np.testing.assert_array_equal(run({"op": "center_crop", "size": [4, 2]}, image=image), np.asarray(image)[3:5, 3:7])


def test_crop_takes_the_box() -> None:
    image = gradient(10, 8)
    np.testing.assert_array_equal(run({"op": "crop", "box": [1, 2, 5, 8]}, image=image), np.asarray(image)[2:8, 1:5])


@pytest.mark.parametrize("step", [{"op": "center_crop", "size": 9}, {"op": "crop", "box": [0, 0, 10, 9]}])
def test_an_image_that_is_too_small_to_crop_is_refused(step: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as raised:
        run(step, image=gradient(10, 8))
    assert (raised.value.reason, raised.value.fields[0].field) == ("IMAGE_TOO_SMALL", "inputs.photo")


@given(width=st.integers(1, 60), height=st.integers(1, 60), size=st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_letterbox_fits_the_image_and_fills_the_border(width: int, height: int, size: tuple[int, int]) -> None:
    made = run({"op": "letterbox", "size": list(size), "fill": 114}, image=Image.new("L", (width, height), 255))
    factor = min(size[0] / width, size[1] / height)
    wide, high = max(1, round(width * factor)), max(1, round(height * factor))
    assert made.shape == (size[1], size[0], 3) and (wide == size[0] or high == size[1])
    left, top = (size[0] - wide) // 2, (size[1] - high) // 2
    assert (made[top : top + high, left : left + wide] == 255).all()
    assert (made == 255).sum() == wide * high * 3 and set(np.unique(made)) <= {114, 255}


def test_letterbox_is_longer_side_resize_and_pad_where_these_can() -> None:
    image = gradient(40, 20)
    one = run({"op": "letterbox", "size": 32, "fill": [1, 2, 3]}, image=image)
    two = run({"op": "resize", "size": 32, "side": "longer"}, {"op": "pad", "size": 32, "fill": [1, 2, 3]}, image=image)
    np.testing.assert_array_equal(one, two)


def test_pad_centres_on_a_canvas() -> None:
    image = gradient(4, 2)
    padded = run({"op": "pad", "size": [6, 6], "fill": [9, 8, 7]}, image=image)
    np.testing.assert_array_equal(padded[2:4, 1:5], np.asarray(image))
    assert padded[0, 0].tolist() == [9, 8, 7]


def test_layouts_and_dtypes() -> None:
    image = gradient(5, 4)
    chw = run(image=image, last={"op": "to_tensor", "dtype": "FP16", "layout": "CHW", "output": "image"})
    assert chw.dtype == np.float16
    assert chw.shape == (3, 4, 5)
    np.testing.assert_array_equal(chw, np.asarray(image).transpose(2, 0, 1))
    assert chw.flags.c_contiguous


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_colours_may_come_in_the_order_of_opencv(layout: str) -> None:
    image = gradient(5, 4)
    bgr = run(image=image, last={"op": "to_tensor", "channels": "BGR", "layout": layout, "output": "image"})
    rgb = run(image=image, last={"op": "to_tensor", "layout": layout, "output": "image"})
    np.testing.assert_array_equal(bgr, rgb[:, :, ::-1] if layout == "HWC" else rgb[::-1])
    assert bgr.flags.c_contiguous


def test_the_order_of_opencv_is_refused_where_there_are_no_colours() -> None:
    steps = [{"op": "decode_image", "mode": "L"}, {"op": "to_tensor", "channels": "BGR", "output": "image"}]
    with pytest.raises(InvalidInput, match=r"steps\[1\].channels: BGR is the order of a colour image's"):
        Pipeline.load({"inputs": {"photo": "image"}, "steps": steps})


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_normalize_per_channel_follows_the_layout_even_when_width_equals_channels(layout: str) -> None:
    image = gradient(3, 3)
    steps = [{"op": "to_tensor", "layout": layout}]
    last = {"op": "normalize", "mean": [1, 2, 3], "std": [4, 5, 6], "scale": 0.5, "output": "image"}
    pixels = np.asarray(image).astype(np.float32)
    expected = (pixels * np.float32(0.5) - np.array([1, 2, 3], np.float32)) / np.array([4, 5, 6], np.float32)
    expected = expected if layout == "HWC" else expected.transpose(2, 0, 1)
    np.testing.assert_array_equal(run(*steps, image=image, last=last), expected)


def test_normalize_takes_an_image_too() -> None:
    image = gradient(3, 2, mode="L")
    document = {
        "inputs": {"photo": "image"},
        "steps": [{"op": "decode_image", "mode": "L"}, {"op": "normalize", "scale": 2, "output": "image"}],
    }
    tensor = Pipeline.load(document).run({"photo": encoded(image, "PNG")}).tensors["image"]
    np.testing.assert_array_equal(tensor[:, :, 0], np.asarray(image).astype(np.float32) * 2)


def test_sizes_that_are_known_are_told() -> None:
    known = pipeline({"op": "resize", "size": [20, 10]}, {"op": "center_crop", "size": [8, 6]})
    assert [(output.dtype, output.shape) for output in known.outputs] == [("UINT8", (6, 8, 3))]
    assert pipeline().outputs[0].shape == (-1, -1, 3)


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ([{"op": "resize", "size": [8, 8]}, {"op": "center_crop", "size": 9}], "steps[2].size"),
        ([{"op": "resize", "size": [8, 8]}, {"op": "crop", "box": [0, 0, 8, 9]}], "steps[2].box"),
        ([{"op": "crop", "box": [4, 0, 4, 9]}], "steps[1].box"),
        ([{"op": "resize", "size": [8, 8]}, {"op": "pad", "size": 4}], "steps[2].size"),
        ([{"op": "resize", "size": [0, 8]}], "steps[1].size[0]"),
        ([{"op": "resize", "size": [8, 8], "filter": "box"}], "steps[1].filter"),
        ([{"op": "decode_image"}], "steps[1].input"),
        ([{"op": "normalize", "mean": [1, 2]}], "steps[1].mean"),
        ([{"op": "normalize", "std": [1, 0, 1]}], "steps[1]"),
        ([{"op": "normalize"}, {"op": "to_tensor", "dtype": "UINT8"}], "steps[2].dtype"),
        ([{"op": "to_tensor"}, {"op": "to_tensor"}], "steps[2].input"),
        ([{"op": "to_tensor"}, {"op": "resize", "size": 8}], "steps[2].input"),
    ],
)
def test_what_can_never_work_is_refused_at_load_with_its_path(steps: list[dict[str, Any]], field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        pipeline(*steps)
    assert raised.value.fields[0].field == field
