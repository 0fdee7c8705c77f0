"""Golden samples that are recorded: an input that is made up, and what the model answers to it on this machine."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lepton_ai.errors import InvalidInput
from lepton_ai.inspection.dry_run import DryRun
from lepton_ai.package import Package, TensorSpec
from lepton_ai.pipeline import Pipeline
from lepton_ai.tensors import Array, numpy_dtype

_MAX_ELEMENTS = 4096
"""Larger samples would fill lepton.yaml."""
_PICTURE_FILE = "golden/photo.png"
_PICTURE_SIDE = 64
_TOLERANCE = 1e-3
_SAMPLE_TEXT = "The quick brown fox 敏捷的棕色狐狸"
_NOTE = (
    "The golden sample is made up, with what the model answered on this machine: it tells whether copies answer the "
    "same. Add samples whose right answer you know."
)


@dataclass(frozen=True)
class Recorded:
    """A golden sample; None where there is none to be recorded."""

    golden: dict[str, Any] | None
    note: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    scores_are_probabilities: bool = False
    output: str = ""

    def postprocess(self, labels_file: str) -> list[dict[str, Any]]:
        """The steps that name classes from the recorded output."""
        classify: dict[str, Any] = {"op": "classify", "labels": labels_file}
        if self.scores_are_probabilities:
            return [classify | {"input": self.output}]
        return [{"op": "softmax", "input": self.output}, classify]


def record_sample(package: Package, preprocess: Mapping[str, Any] | None, labels: Sequence[str]) -> Recorded:
    """Run a package that takes and gives tensors. Raises InvalidInput when its model fails, or has not the labels."""
    specs = package.description.inputs
    files: dict[str, bytes] = {}
    if preprocess is None:
        feeds = {spec.name: _made_up(spec) for spec in specs}
        inputs: dict[str, Any] = {name: {"values": _plain(array[0])} for name, array in feeds.items()}
    else:
        raw = {name: _raw(kind) for name, kind in preprocess["inputs"].items()}
        files = {_PICTURE_FILE: make_picture()} if "image" in preprocess["inputs"].values() else {}
        made = Pipeline.load(dict(preprocess)).run(raw).tensors
        feeds = {name: np.asarray(array)[np.newaxis] for name, array in made.items()}
        inputs = {name: _PICTURE_FILE if isinstance(value, bytes) else value for name, value in raw.items()}
    outputs = DryRun(package).outputs(feeds)
    if labels:
        return _labelled(inputs, outputs, labels, files)
    return _valued(inputs, feeds if preprocess is None else {}, outputs, files)


def _labelled(
    inputs: dict[str, Any], outputs: Mapping[str, Array], labels: Sequence[str], files: Mapping[str, bytes]
) -> Recorded:
    name = next((name for name, array in outputs.items() if array.shape == (1, len(labels))), None)
    if name is None:
        shapes = ", ".join(f"{name} {list(array.shape[1:])}" for name, array in outputs.items())
        raise InvalidInput.of_field("labels", f"are {len(labels)}; the model's outputs for one input are {shapes}")
    scores = np.asarray(outputs[name][0], dtype=np.float64)
    probable = bool(np.all(scores >= 0) and np.isclose(scores.sum(), 1.0, atol=1e-3))
    golden = {"inputs": inputs, "expect": {"label": labels[int(scores.argmax())]}}
    small = all(np.asarray(each["values"]).size <= _MAX_ELEMENTS for each in inputs.values() if isinstance(each, dict))
    return Recorded(golden if small else None, _NOTE if small else "", files, probable, name)


def _valued(
    inputs: dict[str, Any], feeds: Mapping[str, Array], outputs: Mapping[str, Array], files: Mapping[str, bytes]
) -> Recorded:
    elements = sum(array.size for array in (*feeds.values(), *outputs.values()))
    finite = all(np.isfinite(array).all() for array in outputs.values() if array.dtype.kind == "f")
    if elements > _MAX_ELEMENTS or not finite:
        return Recorded(None, "There is no golden sample: add one or more (docs/packages.md).")
    expected = {name: _expected(array[0]) for name, array in outputs.items()}
    return Recorded({"inputs": inputs, "expect": {"outputs": expected}}, _NOTE, files)


def _expected(row: Array) -> dict[str, Any]:
    if row.dtype.kind not in "fiub":
        return {"values": _plain(row)}
    largest = float(np.abs(row.astype(np.float64)).max(initial=1.0))
    return {"values": _plain(row), "tolerance": _TOLERANCE * largest}


def _made_up(spec: TensorSpec) -> Array:
    """One row: floats of a fixed random sequence, texts, and zeros for whole numbers, which may be places of a list."""
    shape = (1, *(max(1, size) for size in spec.shape[1:]))
    if spec.dtype == "BYTES":
        return np.full(shape, "text", dtype=np.object_)
    dtype = numpy_dtype(spec.dtype)
    if dtype.kind != "f":
        return np.zeros(shape, dtype=dtype)
    numbers = np.random.default_rng(0).standard_normal(math.prod(shape)).round(3)
    return numbers.reshape(shape).astype(dtype)


def _plain(array: Array) -> Any:
    if array.dtype.kind == "f":
        return np.asarray(array, dtype=np.float64).round(6).tolist()
    values = array.tolist()
    return _texts(values) if array.dtype.kind == "O" else values


def _texts(values: Any) -> Any:
    if isinstance(values, list):
        return [_texts(each) for each in values]
    return values.decode(errors="replace") if isinstance(values, bytes) else str(values)


def _raw(kind: str) -> Any:
    return {"image": make_picture(), "text": _SAMPLE_TEXT, "number": 1.0, "category": "text"}[kind]


def make_picture(side: int = _PICTURE_SIDE) -> bytes:
    """A PNG of a colour gradient, the same wherever it is made."""
    ramp = np.linspace(0, 255, side).astype(np.uint8)
    rows = np.zeros((side, side, 3), dtype=np.uint8)
    rows[..., 0], rows[..., 1], rows[..., 2] = ramp[np.newaxis, :], ramp[:, np.newaxis], 128
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
