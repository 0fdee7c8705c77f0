"""The ladder of a package: how many rows, threads and calls at once suit it on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lepton_ai.errors import Unsupported
from lepton_ai.optimize.measure.cpu import this_cpu
from lepton_ai.optimize.measure.ladder import Rung, climb
from lepton_ai.optimize.portions import portion
from lepton_ai.package import Package

if TYPE_CHECKING:
    from lepton_ai.models.data import Data

_STEP_S = 0.5


def measure_ladder(package: Package, data: Data | Path | str | None = None, *, step_s: float = _STEP_S) -> list[Rung]:
    """Run the package's model for about `step_s` seconds in every way that makes sense here.

    `data`: rows like those that it is asked, by default its golden samples. Raises InvalidInput for rows that it does
    not take, Unsupported for a model that is no ONNX.
    """
    model = package.description.model
    if model.format != "onnx":
        raise Unsupported("The ladder is measured with ONNX Runtime, and this package holds a torch.export archive.")
    rows = portion(package, data).judged
    most = package.description.max_batch_size
    return climb(package.path(model.file), rows.inputs, max_batch_size=most, cores=this_cpu().cores, step_s=step_s)
