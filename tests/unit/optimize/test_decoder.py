"""The reduced decoder: what it changes of a pipeline, and what is measured of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.optimize.candidate import Candidate, Step
from lepton_ai.optimize.decoder import reduce_decoder
from lepton_ai.optimize.measure.cpu import this_cpu
from lepton_ai.optimize.measure.trying import Judging, measure_variant
from lepton_ai.optimize.methods import Workpiece
from lepton_ai.optimize.portions import portion
from lepton_ai.optimize.search.making import make_variant
from lepton_ai.package import Package, write_package

COLOURS = ("red", "green", "blue")
SIDE, SENT = 16, 512
STEPS: list[dict[str, Any]] = [
    {"op": "decode_image", "input": "photo"},
    {"op": "resize", "size": [SIDE, SIDE]},
    {"op": "to_tensor", "dtype": "UINT8", "layout": "HWC", "output": "pixels"},
]
REDUCED = Candidate((Step("reduced-decoder"),))


def write_photo(path: Path, colour: int, seed: int) -> Path:
    """A noisy JPEG in which one colour is the strongest."""
    noise = np.random.default_rng(seed).integers(0, 60, (SENT, SENT, 3))
    noise[..., colour] += 120
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise.astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty of them, in a folder for each colour."""
    root = tmp_path_factory.mktemp("photos")
    for index in range(30):
        write_photo(root / COLOURS[index % 3] / f"{index}.jpg", index % 3, index)
    return root


@pytest.fixture(scope="module")
def original(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A model that names the strongest colour."""
    shape: list[str | int | None] = ["batch", SIDE, SIDE, 3]
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats"], ["means"], axes=[1, 2], keepdims=0),
        ],
        "colours",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("means", TensorProto.FLOAT, ["batch", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    description = {
        "format": 1,
        "name": "colours",
        "model": {"file": "model.onnx", "format": "onnx"},
        "inputs": [{"name": "pixels", "dtype": "UINT8", "shape": [-1, SIDE, SIDE, 3]}],
        "outputs": [{"name": "means", "dtype": "FP32", "shape": [-1, 3]}],
        "preprocess": {"inputs": {"photo": "image"}, "steps": STEPS},
        "postprocess": [{"op": "argmax", "input": "means", "labels": "labels.txt"}],
        "golden": [{"inputs": {"photo": "golden.jpg"}, "expect": {"label": "red"}}],
    }
    files: dict[str, bytes | Path] = {
        "model.onnx": model.SerializeToString(),
        "labels.txt": "\n".join(COLOURS).encode(),
        "golden.jpg": photos / "red" / "0.jpg",
    }
    return write_package(tmp_path_factory.mktemp("packages") / "colours", description, files)


def made(original: Package, photos: Path, directory: Path) -> Package:
    piece = Workpiece(portion(original, photos).calibration, this_cpu(), 0.005)
    return make_variant(original, REDUCED, directory, piece)


@pytest.mark.parametrize(
    ("shrinking", "parameters", "pixels"),
    [
        ({"op": "resize", "size": [256, 200]}, {}, 256),
        ({"op": "resize", "size": 224, "side": "longer"}, {}, 224),
        ({"op": "letterbox", "size": 512}, {"margin": 2}, 1024),
    ],
)
def test_pictures_keep_the_pixels_that_the_next_step_needs(
    shrinking: dict[str, Any], parameters: dict[str, float], pixels: int
) -> None:
    document: dict[str, Any] = {
        "inputs": {"photo": "image"},
        "steps": [{"op": "decode_image", "input": "photo"}, shrinking],
    }
    changed = reduce_decoder(document, parameters)
    assert changed["steps"][0]["reduce_to"] == pixels and changed["steps"][1] == shrinking
    assert "reduce_to" not in document["steps"][0]


@pytest.mark.parametrize("following", [{"op": "crop", "box": [0, 0, 9, 9]}, {"op": "resize", "size": 9, "input": "b"}])
def test_a_pipeline_that_needs_every_pixel_is_left_alone(following: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="only to make them smaller"):
        reduce_decoder({"steps": [{"op": "decode_image", "output": "a"}, following]}, {})


def test_whole_requests_become_faster_and_stay_right(original: Package, photos: Path, tmp_path: Path) -> None:
    portions = portion(original, photos)
    variant = made(original, photos, tmp_path / "variant")
    document = variant.pipeline_document()
    assert document is not None and document["steps"][0]["reduce_to"] == SIDE
    judging = Judging(portions.judged, tmp_path / "answers.npz", portions.sent)
    measured = measure_variant(original, variant, judging, target="latency", max_loss=0.005)
    assert measured.speed.load.whole and measured.speed.ratio.low > 1.2
    assert not measured.speeds[1].load.whole  # the model alone, which is the same
    assert measured.accuracy.loss.value == 0 and measured.accuracy.rows == 15
    assert 0 < measured.accuracy.largest_change < 3  # of 255 levels


def test_without_pictures_another_pipeline_cannot_be_measured(original: Package, photos: Path, tmp_path: Path) -> None:
    judged = portion(original, photos).judged
    variant = made(original, photos, tmp_path / "variant")
    with pytest.raises(FailedPrecondition, match="no pictures"):
        judging = Judging(judged, tmp_path / "answers.npz")
        measure_variant(original, variant, judging, target="latency", max_loss=0.005)
