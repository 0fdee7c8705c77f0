"""A resize directly followed by a crop computes less, and nobody can tell from the pixels or the refusals."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Limits, Pipeline
from tests.unit.pipeline.images import encoded, gradient

LAST = {"op": "to_tensor", "dtype": "UINT8", "layout": "HWC", "output": "image"}

# Cuts are made where a scaled pixel begins at a binary fraction; both that and everything else must come up.
SIDES = st.one_of(st.sampled_from([1, 2, 8, 16, 32, 48, 64]), st.integers(1, 70))


def pipeline(*steps: dict[str, Any], mode: str = "RGB") -> Pipeline:
    return Pipeline.load(
        {"inputs": {"photo": "image"}, "steps": [{"op": "decode_image", "mode": mode}, *steps, dict(LAST)]}
    )


def names(loaded: Pipeline, image: Image.Image) -> list[str]:
    seen: list[str] = []

    def observe(name: str) -> AbstractContextManager[object]:
        seen.append(name)
        return nullcontext()

    loaded.run({"photo": encoded(image, "PNG")}, observe=observe)
    return seen


def black_and_white_noise(width: int, height: int, mode: str, seed: int) -> Image.Image:
    """The picture in which the smallest difference in a filter's weights shows most."""
    bits = np.random.default_rng(seed).integers(0, 2, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(bits * 255).convert(mode)


@settings(deadline=None, max_examples=400)
@given(
    size=st.tuples(SIDES, SIDES),
    scaled=st.tuples(SIDES, SIDES),
    filter_name=st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]),
    mode=st.sampled_from(["RGB", "L"]),
    data=st.data(),
)
def test_the_pixels_are_those_of_pillows_resize_and_crop(
    size: tuple[int, int], scaled: tuple[int, int], filter_name: str, mode: str, data: st.DataObject
) -> None:
    left, top = (data.draw(st.integers(0, side - 1)) for side in scaled)
    right, bottom = data.draw(st.integers(left + 1, scaled[0])), data.draw(st.integers(top + 1, scaled[1]))
    image = black_and_white_noise(*size, mode, data.draw(st.integers(0, 100)))

    loaded = pipeline(
        {"op": "resize", "size": scaled, "filter": filter_name},
        {"op": "crop", "box": [left, top, right, bottom]},
        mode=mode,
    )
    tensor = loaded.run({"photo": encoded(image, "PNG")}).tensors["image"]

    whole = image.resize(scaled, Image.Resampling[filter_name.upper()])
    expected = np.asarray(whole.crop((left, top, right, bottom)))
    np.testing.assert_array_equal(tensor, expected.reshape(tensor.shape))


@settings(deadline=None, max_examples=50)
@given(width=st.integers(200, 1200), height=st.integers(200, 1200), seed=st.integers(0, 100))
def test_photos_of_any_size_scaled_to_256_come_out_to_the_bit(width: int, height: int, seed: int) -> None:
    image = black_and_white_noise(width, height, "L", seed)
    loaded = pipeline(
        {"op": "resize", "size": [256, 256], "filter": "bicubic"}, {"op": "center_crop", "size": 224}, mode="L"
    )
    expected = np.asarray(image.resize((256, 256), Image.Resampling.BICUBIC).crop((16, 16, 240, 240)))
    tensor = loaded.run({"photo": encoded(image, "PNG", compress_level=0)}).tensors["image"]
    np.testing.assert_array_equal(tensor[:, :, 0], expected)


@pytest.mark.parametrize(
    ("image", "resize", "computed"),
    [
        (gradient(500, 375), {"size": [256, 256]}, (224, 224)),
        (gradient(500, 375), {"size": 256}, (341, 224)),  # the columns lie at 500/341 of a pixel: no binary fraction
        (gradient(256, 375), {"size": [256, 256]}, (256, 224)),  # the width stays: a cut would cost a pass
        (gradient(375, 500), {"size": [256, 256]}, (256, 256)),  # a cut would change the order of Pillow's passes
    ],
    ids=["both sides", "one side", "a side that stays", "pass order"],
)
def test_what_the_crop_drops_is_not_computed_where_that_changes_nothing(
    image: Image.Image, resize: dict[str, Any], computed: tuple[int, int]
) -> None:
    loaded = pipeline({"op": "resize", **resize}, {"op": "center_crop", "size": 224})
    with patch.object(Image.Image, "resize", autospec=True, side_effect=Image.Image.resize) as resized:
        assert loaded.run({"photo": encoded(image, "PNG")}).tensors["image"].shape == (224, 224, 3)
    assert resized.call_args.args[1] == computed


def test_the_step_bears_both_names() -> None:
    joined = pipeline({"op": "resize", "size": 16}, {"op": "center_crop", "size": 8})
    assert names(joined, gradient()) == ["decode_image", "resize+center_crop", "to_tensor"]
    by_box = pipeline({"op": "resize", "size": 16}, {"op": "crop", "box": [0, 0, 8, 8]})
    assert names(by_box, gradient()) == ["decode_image", "resize+crop", "to_tensor"]


def test_a_resized_image_that_another_step_takes_too_is_made() -> None:
    loaded = pipeline(
        {"op": "resize", "size": [16, 16], "output": "small"},
        {"op": "center_crop", "size": 8},
        {"op": "to_tensor", "output": "middle"},
        {"op": "pad", "input": "small", "size": 16},
    )
    assert names(loaded, gradient()) == ["decode_image", "resize", "center_crop", "to_tensor", "pad", "to_tensor"]


def test_a_name_that_is_given_again_is_not_the_resized_image() -> None:
    loaded = pipeline(
        {"op": "resize", "size": [16, 16], "output": "small"},
        {"op": "center_crop", "size": 8, "output": "small"},
        {"op": "to_tensor", "input": "small", "output": "middle"},
        {"op": "pad", "input": "small", "size": 16},
    )
    assert names(loaded, gradient()) == ["decode_image", "resize+center_crop", "to_tensor", "pad", "to_tensor"]


def refusal(loaded: Pipeline, image: Image.Image, limits: Limits) -> InvalidInput:
    with pytest.raises(InvalidInput) as raised:
        loaded.run({"photo": encoded(image, "PNG")}, limits=limits)
    return raised.value


@pytest.mark.parametrize(
    ("image", "reason", "text"),
    [
        (Image.new("L", (4000, 1)), "IMAGE_TOO_LARGE", "1024000×256 pixels, at most 100000"),
        (Image.new("L", (40, 20)), "IMAGE_TOO_SMALL", "is 512×256 pixels at this step, at least 300×300"),
    ],
)
def test_refusals_are_those_of_the_two_steps(image: Image.Image, reason: str, text: str) -> None:
    limits = Limits(max_pixels=100_000 if reason == "IMAGE_TOO_LARGE" else 1_000_000)
    resize, crop = {"op": "resize", "size": 256}, {"op": "center_crop", "size": 300}
    joined = refusal(pipeline(resize, crop), image, limits)
    apart = refusal(kept_apart(resize, crop), image, limits)
    assert (joined.reason, joined.fields, joined.fix) == (apart.reason, apart.fields, apart.fix)
    assert joined.reason == reason and text in joined.message


def kept_apart(resize: dict[str, Any], crop: dict[str, Any]) -> Pipeline:
    """The same two steps, kept apart because the resized image becomes a tensor of its own too."""
    return pipeline({**resize, "output": "small"}, {"op": "to_tensor", "output": "whole"}, {**crop, "input": "small"})


def test_documents_and_digests_know_nothing_of_it() -> None:
    loaded = pipeline({"op": "resize", "size": 16}, {"op": "center_crop", "size": 8})
    assert [step["op"] for step in json.loads(loaded.document_json)["steps"]] == [
        "decode_image", "resize", "center_crop", "to_tensor",
    ]  # fmt: skip
    assert Pipeline.from_proto(loaded.to_proto()).digest == loaded.digest
