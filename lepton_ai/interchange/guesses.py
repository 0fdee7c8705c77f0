"""What a model's inputs tell about the raw inputs that they are made of, where that is certain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lepton_ai.package import TensorSpec

_LEAST_SIDE = 16
"""Smaller tensors of three channels need not be pictures."""


@dataclass(frozen=True)
class Guess:
    """A preprocess section, or None; and what the author has to know."""

    preprocess: Mapping[str, Any] | None
    note: str = ""


def guess_pipeline(inputs: Sequence[TensorSpec]) -> Guess:
    """Bytes in the shape of a colour picture are one, a string for each row is a text, numbers and strings of one
    element each are the columns of a table. Anything else takes tensors."""
    if len(inputs) == 1:
        spec = inputs[0]
        if spec.dtype == "UINT8" and (layout := _picture_layout(spec)):
            return _picture(spec, layout)
        if spec.dtype == "BYTES" and spec.shape == (-1, 1):
            return _text(spec)
        if spec.dtype in ("FP32", "FP16") and _picture_layout(spec):
            return Guess(
                None,
                f"Input {spec.name!r} has the shape of a picture. How its pixels were scaled and normalised is not in "
                "the file, so it takes tensors. To take photos, add a preprocess section with decode_image, resize, "
                "to_tensor and normalize (docs/pipelines.md), and golden samples.",
            )
    if len(inputs) > 1 and all(spec.shape == (-1, 1) and spec.dtype in ("FP32", "BYTES") for spec in inputs):
        return _table(inputs)
    return Guess(None)


def _picture_layout(spec: TensorSpec) -> str:
    """ "HWC" or "CHW" for the shape of a colour picture of known size, else nothing."""
    if len(spec.shape) != 4:
        return ""
    sides = {"HWC": spec.shape[1:3], "CHW": spec.shape[2:4]}
    channels = {"HWC": spec.shape[3], "CHW": spec.shape[1]}
    return next((each for each in sides if channels[each] == 3 and min(sides[each]) >= _LEAST_SIDE), "")


def _picture(spec: TensorSpec, layout: str) -> Guess:
    height, width = spec.shape[1:3] if layout == "HWC" else spec.shape[2:4]
    steps = [
        {"op": "decode_image", "input": "photo", "mode": "RGB"},
        {"op": "resize", "size": [width, height]},
        {"op": "to_tensor", "output": spec.name, "dtype": "UINT8", "layout": layout},
    ]
    note = "Photos are scaled to the input's size without keeping their proportions: correct that if training did else."
    return Guess({"inputs": {"photo": "image"}, "steps": steps}, note)


def _text(spec: TensorSpec) -> Guess:
    steps = [{"op": "text_tensor", "input": "text", "output": spec.name}]
    return Guess({"inputs": {"text": "text"}, "steps": steps})


def _table(inputs: Sequence[TensorSpec]) -> Guess:
    kinds = {spec.name: "number" if spec.dtype == "FP32" else "category" for spec in inputs}
    steps = [
        {"op": "concat", "on": [spec.name], "output": spec.name}
        if spec.dtype == "FP32"
        else {"op": "text_tensor", "input": spec.name, "output": spec.name}
        for spec in inputs
    ]
    return Guess({"inputs": kinds, "steps": steps})
