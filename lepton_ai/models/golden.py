"""Examples with the answers that a served copy of a model must give again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lepton_ai.pipeline import RawValue

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset
    from lepton_ai.models.answers import Predicted
    from lepton_ai.models.model import Model

_SAMPLES = 3
_CANDIDATES = 64
_MAX_VALUES = 1 << 14
_TOLERANCE = 1e-2


@dataclass(frozen=True)
class GoldenSample:
    """Raw inputs by name, and what came out: the best label, the values of small outputs."""

    inputs: Mapping[str, RawValue]
    label: str
    outputs: Mapping[str, Any]


def choose_golden(model: Model, data: Dataset) -> list[GoldenSample]:
    """A few examples that the model is sure of, each of another class as far as there are any.

    Sure ones, so that the last bits of another machine's arithmetic do not change the best label.
    """
    candidates = data.take(np.arange(min(len(data), _CANDIDATES)))
    answers: Sequence[Predicted] = model.predict(candidates)
    sound = [row for row, answer in enumerate(answers) if _is_sound(answer)]
    by_certainty = sorted(sound, key=lambda row: -_certainty(answers[row]))
    chosen: dict[str, int] = {}
    for row in by_certainty:
        chosen.setdefault(answers[row].label or str(row), row)
    names = tuple(model.pipeline.inputs) if model.pipeline is not None else ()
    inputs = list(candidates.rows(names))
    return [_sample(inputs[row], answers[row]) for row in list(chosen.values())[:_SAMPLES]]


def _is_sound(answer: Predicted) -> bool:
    """Whether an answer can be compared with another: not a number equals nothing."""
    return answer.error is None and all(
        np.isfinite(value).all() for value in map(np.asarray, answer.outputs.values()) if value.dtype.kind == "f"
    )


def _certainty(answer: Predicted) -> float:
    return answer.labels[0].score if answer.labels else 0.0


def _sample(inputs: Mapping[str, RawValue], answer: Predicted) -> GoldenSample:
    outputs = {name: np.asarray(value) for name, value in answer.outputs.items()}
    small = {name: value.tolist() for name, value in outputs.items() if 0 < value.size <= _MAX_VALUES}
    return GoldenSample(dict(inputs), answer.label, small)


def expectation(sample: GoldenSample) -> dict[str, Any]:
    """The sample's answer as a package's `expect` section: a label where there is one, else the outputs."""
    if sample.label:
        return {"label": sample.label}
    return {
        "outputs": {name: {"values": value, "tolerance": _tolerance(value)} for name, value in sample.outputs.items()}
    }


def _tolerance(values: Any) -> float:
    """Relative to the greatest value: another runtime adds up in another order."""
    return float(_TOLERANCE * max(1.0, np.abs(np.asarray(values)).max()))
