"""The methods by name: what each does, and where it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lepton_ai.errors import InvalidInput

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset
    from lepton_ai.optimize.candidate import Value
    from lepton_ai.optimize.measure.cpu import Cpu
    from lepton_ai.optimize.rows import Rows


@dataclass(frozen=True)
class Workpiece:
    """What a method may look at beside the model that it changes."""

    calibration: Rows
    cpu: Cpu
    max_loss: float
    data: Dataset | None = None
    """Rows to train on, for methods that do."""
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Of the model's inputs, as the package declares them: -1 for a free dimension."""
    end_s: float = math.inf
    """When training is to be over, on the monotonic clock."""


FileMethod = Callable[[Path, Path, Workpiece, "Mapping[str, Value]"], None]
"""Reads an ONNX file, writes another one. Raises InvalidInput for a model that it cannot change."""
ModelMethod = Callable[[Any, Workpiece, "Mapping[str, Value]"], Any]
"""Makes a model of `lepton_ai.models` of another one, which stays as it is."""
PipelineMethod = Callable[["Mapping[str, Any]", "Mapping[str, Value]"], dict[str, Any]]
"""Makes the document of a pipeline of another one. Raises InvalidInput for one that it cannot change."""


@dataclass(frozen=True)
class Method:
    """A way to make a model lighter."""

    kind: Literal["file", "model", "pipeline"]
    """What it changes: the ONNX file of any package, a trained model, which packages of Lepton's own models hold, or
    the pipeline in front of it."""
    target: str
    """module:function"""
    summary: str

    def load(self) -> Any:
        """The function: a `FileMethod`, `ModelMethod` or `PipelineMethod`."""
        module, _, name = self.target.partition(":")
        return getattr(import_module(module), name)


_HERE = "lepton_ai.optimize"
METHODS: Mapping[str, Method] = {
    "int8": Method(
        "file", f"{_HERE}.quantize.static:quantize", "8-bit weights and activations, with ranges from calibration rows"
    ),
    "int8-dynamic": Method(
        "file", f"{_HERE}.quantize.dynamic:quantize", "8-bit weights; ranges of activations found in every call"
    ),
    "int4-weights": Method("file", f"{_HERE}.quantize.blocks:quantize", "4-bit weights of dense layers, in blocks"),
    "fp16": Method("file", f"{_HERE}.quantize.halves:compute_in_halves", "weights and arithmetic in FP16"),
    "folded": Method("file", f"{_HERE}.graph.folding:fold", "constants computed, shapes fixed that the package fixes"),
    "stored-half": Method("file", f"{_HERE}.quantize.storage:store_halves", "large weights stored as FP16 or BF16"),
    "stored-int8": Method("file", f"{_HERE}.quantize.storage:store_bytes", "large weights stored in 8 bits"),
    "stored-sparse": Method("file", f"{_HERE}.prune.sparse_file:store_sparse", "zeros of pruned weights not stored"),
    "prune-channels": Method(
        "model", f"{_HERE}.prune.channels:prune_channels", "channels that matter least go; trained on"
    ),
    "prune-weights": Method(
        "model", f"{_HERE}.prune.weights:prune_weights", "ever more weights at zero while it trains on"
    ),
    "distil": Method("model", f"{_HERE}.student:teach_student", "a narrower network, taught by this one"),
    "decompose": Method(
        "model", f"{_HERE}.decompose.decomposition:decompose", "layers in parts of low rank; trained on"
    ),
    "reduced-decoder": Method(
        "pipeline", f"{_HERE}.decoder:reduce_decoder", "JPEGs decoded at the scale that the next step needs"
    ),
}


def find_method(name: str) -> Method:
    """The method of this name. Raises InvalidInput."""
    if name not in METHODS:
        raise InvalidInput.of_field("method", f"there is no {name!r}", fix=f"There are {', '.join(METHODS)}.")
    return METHODS[name]
