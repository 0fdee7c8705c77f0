"""decode_image: what it accepts comes out exactly; everything else is a specific error before memory is spent."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Limits, Pipeline, Processed
from tests.photos import imagenet_photos
from tests.unit.pipeline.images import encoded, gradient, png_header, webp_header

TO_TENSOR = {"op": "to_tensor", "dtype": "UINT8", "layout": "HWC", "output": "image"}


def decode(data: bytes, *, limits: Limits | None = None, **parameters: object) -> Processed:
    document = {"inputs": {"photo": "image"}, "steps": [{"op": "decode_image", **parameters}, TO_TENSOR]}
    return Pipeline.load(document).run({"photo": data}, limits=limits or Limits())


def refusal(data: bytes, *, limits: Limits | None = None) -> InvalidInput:
    with pytest.raises(InvalidInput) as raised:
        decode(data, limits=limits)
    assert raised.value.fields[0].field == "inputs.photo"
    assert raised.value.fix
    return raised.value


def reasons(processed: Processed) -> list[str]:
    return [anomaly.reason for anomaly in processed.anomalies]


@pytest.mark.parametrize("path", imagenet_photos(), ids=lambda path: path.stem)
def test_efficientnet_preprocessing_is_bit_identical_to_plain_pillow(path: Path) -> None:
    data = path.read_bytes()
    pipeline = Pipeline.load(
        {
            "inputs": {"photo": "image"},
            "steps": [
                {"op": "decode_image"},
                {"op": "resize", "size": [256, 256], "filter": "bicubic"},
                {"op": "crop", "box": [16, 16, 240, 240]},
                {"op": "to_tensor", "dtype": "FP32", "layout": "CHW"},
                {"op": "normalize", "mean": 127, "std": 128, "output": "image"},
            ],
        }
    )

    plain = (
        Image.open(BytesIO(data)).convert("RGB").resize((256, 256), Image.Resampling.BICUBIC).crop((16, 16, 240, 240))
    )
    expected = (np.asarray(plain).transpose(2, 0, 1).astype(np.float32) - 127) / 128

    tensor = pipeline.run({"photo": data}).tensors["image"]
    assert tensor.dtype == np.float32
    np.testing.assert_array_equal(tensor, expected)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_lossless_formats_come_out_exactly(file_format: str) -> None:
    image = gradient()
    np.testing.assert_array_equal(
        decode(encoded(image, file_format, lossless=True)).tensors["image"], np.asarray(image)
    )


def test_a_progressive_jpeg_is_the_same_as_pillow_decodes_it() -> None:
    data = encoded(gradient(), "JPEG", progressive=True)
    np.testing.assert_array_equal(decode(data).tensors["image"], np.asarray(Image.open(BytesIO(data))))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = gradient()
    data = encoded(stored, "PNG", exif=exif)
    turned: dict[int, Callable[[Any], Any]] = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: np.rot90,
    }  # fmt: skip

    np.testing.assert_array_equal(decode(data).tensors["image"], turned[orientation](np.asarray(stored)))
    np.testing.assert_array_equal(decode(data, orient=False).tensors["image"], np.asarray(stored))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_unreadable_exif_is_flagged_and_the_image_used_as_it_is(file_format: str) -> None:
    processed = decode(encoded(gradient(), file_format, exif=b"Exif\0\0" + b"no TIFF header"))
    assert processed.tensors["image"].shape == (24, 32, 3)
    assert reasons(processed) == ["BAD_EXIF"]


class TestColourModes:
    def test_grey_becomes_equal_channels_and_colour_becomes_grey_on_demand(self) -> None:
        grey = gradient(mode="L")
        colour = decode(encoded(grey, "PNG")).tensors["image"]
        np.testing.assert_array_equal(colour, np.repeat(np.asarray(grey)[:, :, None], 3, axis=2))
        as_grey = decode(encoded(gradient(), "PNG"), mode="L").tensors["image"]
        np.testing.assert_array_equal(as_grey[:, :, 0], np.asarray(gradient().convert("L")))

    def test_a_palette_is_resolved(self) -> None:
        palette = gradient().convert("P", palette=Image.Palette.ADAPTIVE)
        np.testing.assert_array_equal(
            decode(encoded(palette, "PNG")).tensors["image"], np.asarray(palette.convert("RGB"))
        )

    def test_cmyk_jpegs_become_rgb(self) -> None:
        data = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
        red, green, blue = decode(data).tensors["image"][4, 4].tolist()
        assert red > 240 and green < 16 and blue < 16

    def test_sixteen_bit_grey_is_scaled_not_clipped_and_flagged(self) -> None:
        values = np.array([[0, 0x1200, 0x8000, 0xFFFF]], dtype=np.uint16)
        processed = decode(encoded(Image.fromarray(values), "PNG"), mode="L")
        assert processed.tensors["image"][0, :, 0].tolist() == [0, 0x12, 0x80, 0xFF]
        assert reasons(processed) == ["REDUCED_DEPTH"]

    def test_transparent_pixels_show_the_background_and_are_flagged(self) -> None:
        image = Image.new("RGBA", (2, 1), (10, 20, 30, 255))
        image.putpixel((1, 0), (99, 99, 99, 0))
        processed = decode(encoded(image, "PNG"), background=[1, 2, 3])
        assert processed.tensors["image"][0].tolist() == [[10, 20, 30], [1, 2, 3]]
        assert reasons(processed) == ["TRANSPARENCY"]

    def test_an_opaque_alpha_channel_changes_nothing_and_is_not_flagged(self) -> None:
        processed = decode(encoded(gradient(mode="RGBA"), "PNG"))
        np.testing.assert_array_equal(processed.tensors["image"], np.asarray(gradient()))
        assert processed.anomalies == []


class TestRefused:
    @pytest.mark.parametrize(
        "data",
        [b"hello", b"SIMPLE  =                    T" + b" " * 2850, encoded(gradient(), "GIF"),
         encoded(gradient(), "BMP"), encoded(gradient(), "TIFF"), encoded(gradient(), "JPEG2000"), b"%PDF-1.7",
         b"\0" * 100],
        ids=["text", "FITS", "GIF", "BMP", "TIFF", "JPEG2000", "PDF", "zeros"],
    )  # fmt: skip
    def test_anything_but_the_three_formats(self, data: bytes) -> None:
        error = refusal(data)
        assert error.reason == "NOT_AN_IMAGE"
        assert "not a JPEG, PNG or WebP" in error.message

    def test_empty_bytes(self) -> None:
        assert refusal(b"").reason == "EMPTY_IMAGE"

    @pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
    def test_animations(self, file_format: str) -> None:
        frames = [gradient(), gradient().rotate(90)]
        data = encoded(frames[0], file_format, save_all=True, append_images=frames[1:], duration=100)
        assert refusal(data).reason == "ANIMATED_IMAGE"

    @pytest.mark.parametrize("data", [png_header(60_000, 60_000), webp_header(16_384, 16_384), png_header(20_000, 1)])
    def test_huge_headers_without_allocating_for_them(self, data: bytes) -> None:
        tracemalloc.start()
        try:
            assert refusal(data).reason == "IMAGE_TOO_LARGE"
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak_bytes < 1_000_000

    def test_more_pixels_than_the_limit(self) -> None:
        data = encoded(gradient(32, 24), "JPEG")
        assert refusal(data, limits=Limits(max_pixels=32 * 24 - 1)).reason == "IMAGE_TOO_LARGE"
        assert decode(data, limits=Limits(max_pixels=32 * 24)).tensors["image"].shape == (24, 32, 3)

    def test_more_bytes_than_the_limit(self) -> None:
        data = encoded(gradient(), "JPEG")
        document = {"inputs": {"photo": "image"}, "steps": [{"op": "decode_image"}, TO_TENSOR]}
        with pytest.raises(InvalidInput) as raised:
            Pipeline.load(document).run({"photo": data}, limits=Limits(max_item_bytes=len(data) - 1))
        assert raised.value.reason == "ITEM_TOO_LARGE"

    def test_a_tensor_that_would_be_too_large(self) -> None:
        assert refusal(encoded(gradient(), "PNG"), limits=Limits(max_output_bytes=1000)).reason == "OUTPUT_TOO_LARGE"

    @pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
    @pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9, 0.99])
    def test_truncated_jpegs(self, options: dict[str, bool], kept: float) -> None:
        data = encoded(Image.open(imagenet_photos()[0]), "JPEG", **options)
        assert refusal(data[: int(len(data) * kept)]).reason == "UNREADABLE_IMAGE"

    @pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
    def test_truncated_files_of_the_other_formats(self, file_format: str) -> None:
        data = encoded(gradient(200, 200), file_format, lossless=True)
        assert refusal(data[: len(data) // 2]).reason == "UNREADABLE_IMAGE"

    @given(
        data=st.binary(max_size=300),
        prefix=st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"]),
    )
    def test_noise_behind_a_right_beginning(self, data: bytes, prefix: bytes) -> None:
        assert refusal(prefix + data).reason in {"UNREADABLE_IMAGE", "IMAGE_TOO_LARGE", "ANIMATED_IMAGE"}


SAMPLES = [
    encoded(gradient(), "JPEG"),
    encoded(
        gradient(), "JPEG", progressive=True, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    ),
    encoded(gradient(mode="RGBA"), "PNG"),
    encoded(gradient().convert("P"), "PNG"),
    encoded(gradient(), "WEBP"),
]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # about damaged EXIF data
@settings(deadline=None, max_examples=300)
@given(
    data=st.sampled_from(SAMPLES),
    flips=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_a_damaged_file_is_an_error_of_the_input_or_a_whole_image_and_nothing_else(
    data: bytes, flips: list[tuple[int, int]]
) -> None:
    damaged = bytearray(data)
    for position, value in flips:
        damaged[position % len(damaged)] = value
    try:
        tensor = decode(bytes(damaged), limits=Limits(max_pixels=1_000_000)).tensors["image"]
    except InvalidInput as error:
        assert error.fields
    else:
        assert tensor.ndim == 3 and tensor.dtype == np.uint8


def test_pixels_in_an_array_are_refused_with_how_to_make_a_picture_of_them() -> None:
    pipeline = Pipeline.load({"inputs": {"photo": "image"}, "steps": [{"op": "decode_image"}, TO_TENSOR]})
    with pytest.raises(InvalidInput, match="is a tensor, expected the bytes of an encoded image") as raised:
        pipeline.run({"photo": np.zeros((8, 8, 3), np.uint8)})
    assert "PIL.Image.fromarray" in raised.value.fix


def smooth(width: int, height: int) -> Image.Image:
    """A picture without detail, which looks the same at every scale."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, (across + down) / 2], axis=-1).astype(np.uint8))


@pytest.mark.parametrize(
    ("size", "reduce_to", "decoded"),
    [
        ((640, 480), 240, (320, 240)),
        ((640, 480), 241, (640, 480)),
        ((640, 480), 60, (80, 60)),
        ((99, 99), 40, (50, 50)),
    ],
    ids=str,
)
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_keeps_the_pixels_asked_for(
    size: tuple[int, int], reduce_to: int, decoded: tuple[int, int]
) -> None:
    made = decode(encoded(smooth(*size), "JPEG", quality=95), reduce_to=reduce_to)
    image = made.tensors["image"]
    assert image.shape == (decoded[1], decoded[0], 3)
    wanted = np.asarray(smooth(*size).resize(decoded, Image.Resampling.BOX))
    assert np.abs(image.astype(int) - wanted).mean() < 2
    frame = made.frames["image"]
    assert (frame.width, frame.height) == size and frame.scale_x == pytest.approx(decoded[0] / size[0])


def test_a_reduced_picture_that_lies_on_its_side_is_put_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    made = decode(encoded(smooth(640, 480), "JPEG", exif=exif), reduce_to=100)
    assert made.tensors["image"].shape == (160, 120, 3)
    assert (made.frames["image"].width, made.frames["image"].height) == (480, 640)


def test_only_jpegs_are_reduced_and_a_truncated_one_is_still_refused() -> None:
    exact = decode(encoded(gradient(64, 48), "PNG"))
    assert np.array_equal(
        exact.tensors["image"], decode(encoded(gradient(64, 48), "PNG"), reduce_to=8).tensors["image"]
    )
    whole = encoded(gradient(640, 480), "JPEG")
    with pytest.raises(InvalidInput):
        decode(whole[: len(whole) // 2], reduce_to=60)
