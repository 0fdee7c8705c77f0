"""Static int8 by ONNX Runtime: ranges of activations are found once, with calibration rows, and stand in the file."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from lepton_ai.errors import InvalidInput
from lepton_ai.optimize.candidate import Value
from lepton_ai.optimize.graph.normalisation import fuse_normalisation
from lepton_ai.optimize.methods import Workpiece
from lepton_ai.optimize.quantize.accuracy_control import take_back_worst
from lepton_ai.optimize.quantize.scheme import Scheme, find_scheme, schemes_for
from lepton_ai.optimize.rows import Rows
from lepton_ai.tensors import Array

Calibration = Literal["minmax", "entropy", "percentile"]
_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
_TYPES = {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}
_PERCENTILE = 99.99
_STRIDE = 4
"""Rows whose activations are in memory at a time."""
_MOST_ROWS_OF_HISTOGRAMS = 32
"""Histograms of all activations take seconds a row; ranges settle long before."""


def quantize(source: Path, target: Path, piece: Workpiece, parameters: Mapping[str, Value]) -> None:
    """Write `source` with 8-bit weights, per channel, and 8-bit activations.

    `calibration`: "minmax", "entropy" (Migacz 2017) or "percentile"; `scheme`: as `quantize.scheme` has them, by
    default the fastest that is right on this processor; `control`: take layers back into FP32, the worst first, until
    the bound is met on the calibration rows.
    Raises InvalidInput for a model without anything to quantise.
    """
    calibration = _calibration(parameters)
    scheme = find_scheme(str(parameters["scheme"])) if "scheme" in parameters else schemes_for(piece.cpu)[0]
    with tempfile.TemporaryDirectory(prefix="lepton-") as place:
        quantizer = StaticQuantizer(source, Path(place), piece.calibration, calibration, scheme)
        quantizer.write(target)
        if parameters.get("control"):
            take_back_worst(quantizer, target, piece)


class StaticQuantizer:
    """A model that is prepared and calibrated once, and then written with some layers left as they are."""

    def __init__(self, source: Path, place: Path, rows: Rows, calibration: Calibration, scheme: Scheme) -> None:
        """`place` is a folder for what it needs in between."""
        self.prepared = prepare(source, place / "prepared.onnx")
        self._ranges = place / "ranges.json"
        self._rows, self._calibration, self._scheme = rows, calibration, scheme

    def write(self, target: Path, *, without: Collection[str] = ()) -> None:
        """Write the model with all layers quantised but those of these names. The first time it is calibrated.

        Raises InvalidInput for a model without anything to quantise.
        """
        options: dict[str, Any] = {"CalibStridedMinMax": _STRIDE}
        if self._calibration == "percentile":
            options["CalibPercentile"] = _PERCENTILE
        with quiet():
            quantize_static(
                self.prepared,
                target,
                _Reader(self._calibration_inputs()),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=self._scheme.reduced,
                activation_type=_TYPES[self._scheme.activations],
                weight_type=QuantType.QInt8,
                nodes_to_exclude=list(without),
                calibrate_method=_METHODS[self._calibration],
                extra_options=options,
                calibration_cache_path=self._ranges,
            )
        fuse_normalisation(target)

    def _calibration_inputs(self) -> Mapping[str, Array]:
        """As many rows as whole strides, which the runtime insists on."""
        count = len(self._rows)
        if self._calibration != "minmax":
            count = min(count, _MOST_ROWS_OF_HISTOGRAMS)
        order = np.arange(-(-count // _STRIDE) * _STRIDE) % count
        return {name: array[order] for name, array in self._rows.inputs.items()}


class _Reader(CalibrationDataReader):  # type: ignore[misc] # untyped
    """Calibration rows one by one."""

    def __init__(self, inputs: Mapping[str, Array]) -> None:
        self._inputs = inputs
        self._pending: Iterator[int] = iter(range(len(self)))

    def __len__(self) -> int:
        return len(next(iter(self._inputs.values())))

    def set_range(self, start_index: int, end_index: int) -> None:
        """Go on with these rows."""
        self._pending = iter(range(start_index, end_index))

    def get_next(self) -> dict[str, Array] | None:
        """The next row as a batch of one, None after the last one."""
        row = next(self._pending, None)
        return None if row is None else {name: array[row : row + 1] for name, array in self._inputs.items()}


def prepare(source: Path, target: Path) -> Path:
    """Shapes inferred, constants folded, batch norms in their convolutions: what quantisation needs to see.

    Raises InvalidInput for a model that cannot be so prepared.
    """
    try:
        with quiet():
            quant_pre_process(str(source), str(target), skip_symbolic_shape=True)
    except Exception as error:  # whatever the runtime finds in a model
        text = str(error).partition("\n")[0][:300]
        raise InvalidInput.of_field("model", f"cannot be quantised: {text}", reason="NOT_QUANTISABLE") from error
    return target


@contextmanager
def quiet() -> Iterator[None]:
    """What ONNX Runtime prints and logs while it quantises is no news to anybody."""
    root, before = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(before)


def _calibration(parameters: Mapping[str, Value]) -> Calibration:
    wanted = parameters.get("calibration", "minmax")
    if wanted not in get_args(Calibration):
        known = ", ".join(get_args(Calibration))
        raise InvalidInput.of_field("calibration", f"there is no {wanted!r}", fix=f"There are {known}.")
    return cast(Calibration, wanted)
