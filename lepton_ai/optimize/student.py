"""A narrower network of the same class as a trained model, taught by it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from lepton_ai.errors import InvalidInput
from lepton_ai.optimize.distil import distil
from lepton_ai.optimize.finetuning import TimeLimit

if TYPE_CHECKING:
    from lepton_ai.models.model import Model
    from lepton_ai.optimize.candidate import Value
    from lepton_ai.optimize.methods import Workpiece

_WIDTHS = ("channels", "hidden", "embedding")
"""Arguments of models that say how wide their layers are."""
_FACTOR = 0.5
_EPOCHS = 20


def teach_student(model: Model, piece: Workpiece, parameters: Mapping[str, Value]) -> Model:
    """A model of `factor` times the width, distilled from this one.

    Raises InvalidInput for a model whose class has no widths to choose.
    """
    student = narrower(model, float(parameters.get("factor", _FACTOR)))
    assert piece.data is not None  # noqa: S101 - methods that train get rows
    epochs = int(parameters.get("epochs", _EPOCHS))
    settings = {**student.defaults, "progress": False, "doctor": False, "callbacks": [TimeLimit(piece.end_s)]}
    distil(model, student, piece.data, epochs=epochs, **settings)
    return student


def narrower(model: Model, factor: float) -> Model:
    """A fresh model of the same class with the same pipeline and task. Raises InvalidInput."""
    widths = {name: value for name, value in model.config.items() if name in _WIDTHS}
    if not widths:
        raise InvalidInput(f"A {type(model).__name__} has no widths that a student could halve.", reason="NO_STUDENT")
    student = type(model)(**{**model.config, **{name: _scaled(value, factor) for name, value in widths.items()}})
    student.pipeline, student.task = model.pipeline, deepcopy(model.task)
    return student


def _scaled(width: Any, factor: float) -> Any:
    if isinstance(width, int):
        return max(1, round(width * factor))
    return [max(1, round(each * factor)) for each in width]
