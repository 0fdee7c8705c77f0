"""A real detector from a package, served: what it finds in real photos, and the pictures that are drawn of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from examples.detector import NAME, model_files, photo
from lepton_ai.client import Client
from lepton_ai.errors import InvalidInput
from lepton_ai.package import write_package
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


def unbatched_model() -> bytes:
    """[1, 5, 7] → those of the rows [picture, box, class, score] with a score over 0.5: [num, 7]."""
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["rows"]),
        helper.make_node("Gather", ["rows", "six"], ["scores"], axis=1),
        helper.make_node("Greater", ["scores", "half"], ["chosen"]),
        helper.make_node("Compress", ["rows", "chosen"], ["found"], axis=0),
    ]
    weights = {"flat": np.array([-1, 7]), "six": np.array(6), "half": np.array(0.5, np.float32)}
    graph = helper.make_graph(
        nodes,
        "unbatched",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 5, 7])],
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, ["num", 7])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def unbatched_package(directory: Path, **output: Any) -> Path:
    rows = np.zeros((5, 7), np.float32)
    rows[1] = [0, 1, 2, 30, 40, 1, 0.9]
    document = {
        "format": 1,
        "name": "unbatched",
        "model": {"file": "model.onnx", "format": "onnx"},
        "inputs": [{"name": "x", "dtype": "FP32", "shape": [-1, 5, 7]}],
        "outputs": [{"name": "found", "dtype": "FP32", **output}],
        "max_batch_size": 1,
        "preprocess": {
            "inputs": {"行": "tensor"},
            "steps": [{"op": "tensor", "input": "行", "dtype": "FP32", "shape": [5, 7], "output": "x"}],
        },
        "postprocess": [{"op": "detect", "layout": "rows", "labels": "labels.txt"}],
        "golden": [{"inputs": {"行": {"values": rows.tolist()}}, "expect": {"label": "猫"}}],
    }
    files = {"model.onnx": unbatched_model(), "labels.txt": "狗\n猫\n".encode()}
    return write_package(directory, document, files).directory


def test_a_detector_without_a_batch_dimension_is_told_how_to_declare_it_and_then_served(
    detector: Platform, tmp_path: Path
) -> None:
    with Client(detector.addresses) as client:
        for number, shape in enumerate([[-1, 7], [-1, -1, 7]]):
            with pytest.raises(InvalidInput) as raised:
                client.push(unbatched_package(tmp_path / str(number), shape=shape))
            assert "batched: false" in raised.value.fix
        version = client.push(unbatched_package(tmp_path / "right", shape=[-1, -1, 7], batched=False))
        client.deploy(f"unbatched@{version.version}")
        pictures = np.zeros((3, 5, 7), np.float32)
        pictures[0, :2] = [[0, 1, 2, 30, 40, 0, 0.8], [0, 5, 5, 9, 9, 1, 0.7]]
        pictures[2, 4] = [0, 3, 3, 6, 7, 1, 0.6]
        answer = client.predict_batch("unbatched", [{"行": each} for each in pictures])
        assert [[(box.name, box[2:6]) for box in each.boxes] for each in answer.predictions] == [
            [("狗", (1, 2, 30, 40)), ("猫", (5, 5, 9, 9))],
            [],
            [("猫", (3, 3, 6, 7))],
        ]
        assert client.predict("unbatched", {"行": pictures[0]}, outputs=["found"]).outputs["found"].shape == (2, 7)


def test_the_command_draws_into_a_file(detector: Platform, tmp_path: Path) -> None:
    done = detector.lepton("predict", NAME, str(photo("coffee.png")), "--draw", str(tmp_path / "画.jpg"))
    assert done.returncode == 0 and "cup" in done.stdout, done.stderr
    with Image.open(tmp_path / "画.jpg") as drawn:
        assert drawn.size == (600, 400)
