"""Accuracy control: layers that lose most are taken back into FP32 until the bound is met."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from lepton_ai.optimize.measure.accuracy import Numeric
from lepton_ai.optimize.measure.engines import open_onnx
from lepton_ai.optimize.methods import Workpiece
from lepton_ai.optimize.rows import Rows

if TYPE_CHECKING:
    from lepton_ai.optimize.quantize.static import StaticQuantizer

_LAYERS = ("Conv", "Gemm", "MatMul")
_ROWS_TO_RANK = 8
_MOST_TAKEN_BACK = 0.5
"""A share: with more layers in FP32 there is nothing left of the gain."""


def take_back_worst(quantizer: StaticQuantizer, target: Path, piece: Workpiece) -> Sequence[str]:
    """Rewrite `target` with ever more layers in FP32, twice as many each time, until its answers on the calibration
    rows differ from the original's in no more than the bound; the names of those layers.

    Layers are ranked by the noise that each one's quantisation alone brings to the outputs.
    """
    ranked = rank_layers(quantizer, target, piece.calibration.take(slice(_ROWS_TO_RANK)))
    right = _outputs(quantizer.prepared, piece.calibration)
    count = 1
    taken: Sequence[str] = ()
    while (
        _loss(right, _outputs(target, piece.calibration)) > piece.max_loss and count <= len(ranked) * _MOST_TAKEN_BACK
    ):
        taken = ranked[:count]
        quantizer.write(target, without=taken)
        count *= 2
    return taken


def rank_layers(quantizer: StaticQuantizer, target: Path, rows: Rows) -> list[str]:
    """Names of the layers, the one first whose quantisation alone changes the outputs most."""
    names = [node.name for node in onnx.load(str(quantizer.prepared)).graph.node if node.op_type in _LAYERS]
    right = _outputs(quantizer.prepared, rows)
    alone = target.with_suffix(".alone.onnx")
    noise = {}
    try:
        for name in names:
            quantizer.write(alone, without=[other for other in names if other != name])
            noise[name] = sum(float(((a - b) ** 2).sum()) for a, b in zip(right, _outputs(alone, rows), strict=True))
    finally:
        alone.unlink(missing_ok=True)
    return sorted(names, key=lambda name: -noise[name])


def _outputs(path: Path, rows: Rows) -> list[Numeric]:
    run = open_onnx(path, threads=1)
    batches = [run({name: array[row : row + 1] for name, array in rows.inputs.items()}) for row in range(len(rows))]
    return [np.concatenate(parts).astype(np.float64) for parts in zip(*batches, strict=True)]


def _loss(right: Sequence[Numeric], got: Sequence[Numeric]) -> float:
    """The share of rows whose greatest value is another one; of single numbers the unexplained share of variance."""
    first, second = right[0].reshape(len(right[0]), -1), got[0].reshape(len(got[0]), -1)
    if first.shape[1] > 1:
        return float((first.argmax(axis=1) != second.argmax(axis=1)).mean())
    spread = float(((first - first.mean()) ** 2).sum())
    return float(((first - second) ** 2).sum()) / spread if spread else 0.0
