"""A real detector from a package, served: what it finds in real photos, and the pictures that are drawn of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from examples.detector import NAME, model_files, photo
from lepton_ai.client import Client
from lepton_ai.postprocessing import Box
from tests.platform import Platform, running_platform

ROOT = Path(__file__).parents[2]

SEEN = {
    "astronaut.png": ("person", (40, 15, 400, 512)),
    "coffee.png": ("cup", (172, 17, 415, 305)),
    "motorcycle_left.png": ("motorcycle", (92, 72, 690, 452)),
    "chelsea.png": ("cat", (0, 0, 390, 300)),
}
"""Photo → what is in it, and where a person would draw the box."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the example runs."""
    return tmp_path_factory.mktemp("照片")


@pytest.fixture(scope="module")
def detector(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform to which the example has deployed the detector."""
    try:
        model_files()
    except SystemExit as missing:
        pytest.skip(str(missing))
    with running_platform(tmp_path_factory.mktemp("detector") / ".lepton") as running:
        environment = {**os.environ, "LEPTON_HOME": str(running.home)}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "examples.detector"]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=170, check=False
        )
        assert done.returncode == 0, done.stderr
        (folder / "printed.txt").write_text(done.stdout, encoding="utf-8")
        yield running


def overlap(box: Box, place: tuple[int, int, int, int], *, scale: int = 1) -> float:
    """Intersection over union."""
    left, top, right, bottom = (each * scale for each in place)
    shared = max(0, min(box.right, right) - max(box.left, left)) * max(0, min(box.bottom, bottom) - max(box.top, top))
    return shared / ((box.right - box.left) * (box.bottom - box.top) + (right - left) * (bottom - top) - shared)


def test_the_example_draws_what_the_platform_finds(detector: Platform, folder: Path) -> None:
    printed = (folder / "printed.txt").read_text(encoding="utf-8")
    assert "astronaut.png  person" in printed and "coffee.png  cup" in printed
    with Image.open(folder / "astronaut-objects.jpg") as drawn, Image.open(photo("astronaut.png")) as sent:
        assert drawn.size == sent.size


@pytest.mark.parametrize("name", SEEN)
def test_objects_are_found_where_they_are_in_the_photo_as_sent(name: str, detector: Platform) -> None:
    label, place = SEEN[name]
    with Client(detector.addresses) as client:
        best = client.predict(NAME, photo(name)).boxes[0]
        assert best.name == label and overlap(best, place) > 0.7

        # Turned by the camera and far larger: the same object, in pixels of the upright picture.
        with Image.open(photo(name)) as image:
            large = image.convert("RGB").resize((image.width * 3, image.height * 3))
        exif, content = Image.Exif(), BytesIO()
        exif[0x0112] = 8
        large.transpose(Image.Transpose.ROTATE_270).save(content, "JPEG", exif=exif)
        turned = client.predict(NAME, content.getvalue()).boxes[0]
        assert turned.name == label and overlap(turned, place, scale=3) > 0.7


def test_the_command_draws_into_a_file(detector: Platform, tmp_path: Path) -> None:
    done = detector.lepton("predict", NAME, str(photo("coffee.png")), "--draw", str(tmp_path / "画.jpg"))
    assert done.returncode == 0 and "cup" in done.stdout, done.stderr
    with Image.open(tmp_path / "画.jpg") as drawn:
        assert drawn.size == (600, 400)
