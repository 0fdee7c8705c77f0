"""Pictures as found: colours come out in sRGB, whatever profile they were in, or an anomaly says that they may not."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from lepton_ai.pipeline import Pipeline
from tests.unit.pipeline.images import encoded, gradient, png_chunk
from tests.unit.pipeline.profiles import (
    ADOBE_RGB,
    DISPLAY_P3,
    PROPHOTO,
    SRGB,
    Space,
    grey_profile,
    ink_profile,
    rgb_profile,
    seen_in_srgb,
)

WIDE = pytest.mark.parametrize("space", [DISPLAY_P3, ADOBE_RGB, PROPHOTO], ids=["Display P3", "Adobe RGB", "ProPhoto"])


def decoded(data: bytes, **parameters: Any) -> tuple[npt.NDArray[Any], list[str]]:
    """The pixels, and the reasons of the anomalies."""
    to_tensor = {"op": "to_tensor", "dtype": "UINT8", "layout": "HWC", "output": "image"}
    document = {"inputs": {"photo": "image"}, "steps": [{"op": "decode_image", **parameters}, to_tensor]}
    processed = Pipeline.load(document).run({"photo": data})
    return processed.tensors["image"], [anomaly.reason for anomaly in processed.anomalies]


def assert_seen(pixels: npt.NDArray[Any], image: Image.Image, space: Space) -> None:
    """Within what 8 bits can tell, apart from the steep beginnings of the curves."""
    difference = np.abs(pixels - seen_in_srgb(np.asarray(image), space))
    assert difference.max() <= 4 and difference.mean() < 0.6


def png(*chunks: tuple[bytes, bytes], depth: int = 8, colour: int = 2, row: bytes = bytes([70, 80, 90])) -> bytes:
    """A PNG of one pixel, or one row, with other chunks in front of the pixels."""
    width = len(row) * 8 // (depth * {0: 1, 2: 3}[colour])
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0))
    others = b"".join(png_chunk(name, content) for name, content in chunks)
    pixels = png_chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + head + others + pixels + png_chunk(b"IEND", b"")


@WIDE
class TestWideColours:
    @pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
    def test_become_what_they_look_like(self, space: Space, file_format: str) -> None:
        image = gradient()
        pixels, reasons = decoded(encoded(image, file_format, lossless=True, icc_profile=rgb_profile(space)))
        assert_seen(pixels, image, space)
        assert reasons == []

    def test_of_a_jpeg_do_so_too(self, space: Space) -> None:
        colours = Image.new("RGB", (8, 8), (200, 90, 60))
        data = encoded(colours, "JPEG", quality=100, icc_profile=rgb_profile(space))
        pixels, reasons = decoded(data)
        np.testing.assert_allclose(pixels[4, 4], seen_in_srgb(np.array([200, 90, 60], np.uint8), space), atol=4)
        assert reasons == []

    def test_keep_their_transparency(self, space: Space) -> None:
        image = gradient(mode="RGBA")
        image.putpixel((0, 0), (9, 9, 9, 0))
        pixels, reasons = decoded(encoded(image, "PNG", icc_profile=rgb_profile(space)), background=[1, 2, 3])
        assert pixels[0, 0].tolist() == [1, 2, 3]  # the background is sRGB already
        assert_seen(pixels[1:], image.convert("RGB").crop((0, 1, 32, 24)), space)
        assert reasons == ["TRANSPARENCY"]

    def test_of_a_palette_do_so_too(self, space: Space) -> None:
        image = gradient().convert("P", palette=Image.Palette.ADAPTIVE)
        pixels, reasons = decoded(encoded(image, "PNG", icc_profile=rgb_profile(space)))
        assert_seen(pixels, image.convert("RGB"), space)
        assert reasons == []

    def test_become_grey_of_what_they_look_like(self, space: Space) -> None:
        data = encoded(gradient(), "PNG", icc_profile=rgb_profile(space))
        colour, grey = (decoded(data, mode=mode)[0] for mode in ("RGB", "L"))
        np.testing.assert_array_equal(grey[:, :, 0], np.asarray(Image.fromarray(colour).convert("L")))

    def test_are_the_same_from_many_threads_at_once(self, space: Space) -> None:
        data = encoded(gradient(64, 64), "PNG", icc_profile=rgb_profile(space))
        expected = decoded(data)[0]
        with ThreadPoolExecutor(4) as pool:
            for pixels, _ in pool.map(decoded, [data] * 32):
                np.testing.assert_array_equal(pixels, expected)


class TestOtherColours:
    @pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P"])
    def test_pictures_with_the_profile_of_srgb_stay_to_the_bit(self, mode: str) -> None:
        image = gradient(mode=mode)
        plain, _ = decoded(encoded(image, "PNG"))
        pixels, reasons = decoded(encoded(image, "PNG", icc_profile=rgb_profile(SRGB)))
        np.testing.assert_array_equal(pixels, plain)
        assert reasons == []

    @pytest.mark.parametrize("mode", ["L", "LA"])
    def test_grey_becomes_what_it_looks_like(self, mode: str) -> None:
        image = gradient(mode=mode)
        pixels, reasons = decoded(encoded(image, "PNG", icc_profile=grey_profile(1.0)))
        linear = Space(SRGB.primaries, 1.0)
        assert_seen(pixels, image.convert("L").convert("RGB"), linear)
        assert reasons == []
        unchanged, _ = decoded(encoded(image, "PNG", icc_profile=grey_profile(None)))
        np.testing.assert_array_equal(unchanged[:, :, 0], np.asarray(image.convert("L")))

    def test_sixteen_bit_grey_does_so_too(self) -> None:
        data = encoded(
            Image.fromarray(np.array([[0, 0x4000, 0xFFFF]], np.uint16)), "PNG", icc_profile=grey_profile(1.0)
        )
        pixels, reasons = decoded(data)
        np.testing.assert_allclose(pixels[0, :, 0], [0, 137, 255], atol=1)
        assert reasons == ["REDUCED_DEPTH"]

    def test_printing_colours_become_what_their_profile_says(self) -> None:
        inks = Image.new("CMYK", (16, 8), (0, 0, 0, 0))
        inks.paste((0, 255, 255, 0), (8, 0, 16, 8))
        pixels, reasons = decoded(encoded(inks, "JPEG", quality=100, icc_profile=ink_profile(0.5)))
        np.testing.assert_allclose(pixels[4, 1], 255, atol=3)
        np.testing.assert_allclose(pixels[4, 14], 119, atol=4)  # L* = 50
        assert reasons == []

    def test_printing_colours_without_a_profile_are_named(self) -> None:
        assert decoded(encoded(gradient(mode="CMYK"), "JPEG"))[1] == ["NO_PROFILE"]


class TestProfilesThatCannotBeUsed:
    @pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
    @pytest.mark.parametrize("profile", [
        b"no profile at all", rgb_profile(DISPLAY_P3)[:200], bytes(3000), grey_profile(2.2), ink_profile(0.5),
        rgb_profile(DISPLAY_P3).replace(b"RGB ", b"Lab "),
    ], ids=["text", "cut", "zeros", "grey", "CMYK", "Lab"])  # fmt: skip
    def test_are_named_and_the_colours_stay(self, profile: bytes, file_format: str) -> None:
        plain, _ = decoded(encoded(gradient(), file_format))
        pixels, reasons = decoded(encoded(gradient(), file_format, icc_profile=profile))
        np.testing.assert_array_equal(pixels, plain)
        assert reasons == ["BAD_PROFILE"]

    def test_are_named_where_a_png_holds_one_that_cannot_be_unpacked(self) -> None:
        assert decoded(png((b"iCCP", b"x\0\0not zlib")))[1] == ["BAD_PROFILE"]

    def test_are_named_where_a_part_is_missing_in_a_jpeg(self) -> None:
        data = encoded(gradient(), "JPEG", icc_profile=rgb_profile(DISPLAY_P3))
        assert decoded(data.replace(b"ICC_PROFILE\0\x01\x01", b"ICC_PROFILE\0\x01\x02"))[1] == ["BAD_PROFILE"]

    @pytest.mark.parametrize(
        "make", [lambda: rgb_profile(ADOBE_RGB), lambda: grey_profile(1.8), lambda: ink_profile(0.3)]
    )
    def test_damaged_ones_do_no_harm(self, make: Callable[[], bytes]) -> None:
        random = np.random.default_rng(3)
        for _ in range(60):
            profile = bytearray(make())
            for _ in range(6):
                profile[random.integers(len(profile))] = random.integers(256)
            for mode in ("RGB", "L", "CMYK"):
                pixels, _ = decoded(encoded(gradient(8, 8, mode), "JPEG", icc_profile=bytes(profile)))
                assert pixels.shape == (8, 8, 3)


class TestColoursThatAPngDeclaresWithoutAProfile:
    WIDE_CHROMATICITY = struct.pack(">8I", 31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6000)

    @pytest.mark.parametrize("chunks", [
        [(b"gAMA", struct.pack(">I", 100_000))],
        [(b"gAMA", struct.pack(">I", 45_455)), (b"cHRM", WIDE_CHROMATICITY)],
        [(b"cICP", bytes([12, 13, 0, 1]))],
        [(b"cICP", bytes([9, 16, 0, 1])), (b"sRGB", b"\0")],
    ], ids=["linear", "wide", "P3", "BT.2100 before sRGB"])  # fmt: skip
    def test_are_named_when_they_are_not_srgb(self, chunks: list[tuple[bytes, bytes]]) -> None:
        pixels, reasons = decoded(png(*chunks))
        assert pixels.tolist() == [[[70, 80, 90]]]
        assert reasons == ["OTHER_COLOURS"]

    @pytest.mark.parametrize("chunks", [
        [(b"gAMA", struct.pack(">I", 45_455))],
        [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100_000))],
        [(b"cICP", bytes([1, 13, 0, 1])), (b"gAMA", struct.pack(">I", 100_000))],
    ], ids=["usual gamma", "sRGB before gAMA", "cICP before gAMA"])  # fmt: skip
    def test_are_not_when_they_are(self, chunks: list[tuple[bytes, bytes]]) -> None:
        assert decoded(png(*chunks))[1] == []


def test_a_camera_that_says_adobe_rgb_without_a_profile_is_named() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    assert decoded(encoded(gradient(), "JPEG", exif=exif))[1] == ["OTHER_COLOURS"]
    exif.get_ifd(0x8769)[0xA005] = {1: "R98"}
    assert decoded(encoded(gradient(), "JPEG", exif=exif))[1] == []


@pytest.mark.parametrize(("depth", "colour", "row", "transparent"), [
    (2, 0, b"\xd0", struct.pack(">H", 3)),
    (4, 0, b"\xf3", struct.pack(">H", 15)),
    (8, 0, b"\x07\xc8", struct.pack(">H", 7)),
    (16, 0, b"\x12\x34\x80\x00", struct.pack(">H", 0x1234)),
    (8, 2, bytes([7, 8, 9, 20, 30, 40]), struct.pack(">HHH", 7, 8, 9)),
    (16, 2, bytes(range(12)), bytes(range(6))),
])  # fmt: skip
def test_the_transparent_colour_of_a_png_is_found_at_every_depth(
    depth: int, colour: int, row: bytes, transparent: bytes
) -> None:
    pixels, reasons = decoded(png((b"tRNS", transparent), depth=depth, colour=colour, row=row), background=[1, 2, 3])
    assert pixels[0, 0].tolist() == [1, 2, 3] and pixels[0, 1].tolist() != [1, 2, 3]
    assert "TRANSPARENCY" in reasons


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_pictures_of_one_pixel(mode: str) -> None:
    assert decoded(encoded(Image.new(mode, (1, 1)), "PNG"))[0].shape == (1, 1, 3)


def test_a_jpeg_with_something_behind_it_and_one_with_several_pictures_give_the_first() -> None:
    first, second = gradient(), gradient().rotate(180)
    pixels, _ = decoded(encoded(first, "JPEG"))
    several = encoded(first, "MPO", save_all=True, append_images=[second])
    for data in (encoded(first, "JPEG") + b"trailer", encoded(first, "JPEG") + encoded(second, "JPEG"), several):
        np.testing.assert_array_equal(decoded(data)[0], pixels)
