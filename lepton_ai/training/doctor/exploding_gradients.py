"""Exploding gradients: steps that are far larger than the weights, all the time or suddenly."""

from __future__ import annotations

import math
import statistics

from lepton_ai.training.doctor.finding import Check, Finding, Remedy
from lepton_ai.training.doctor.signs import Layer, Signs

_SAMPLES = 3
_SAMPLES_BEFORE_SPIKE = 5
_KEPT = 20
_GREATEST_RATIO = 100.0
_SPIKE = 100.0
_LEAST_WEIGHT = 0.01


class ExplodingGradients(Check):
    """A layer's gradient is 100 times its weights, or all gradients together 100 times what they usually were."""

    cause = "exploding gradients"

    def at_sample(self, signs: Signs) -> Finding | None:
        if not math.isfinite(signs.gradient) or not signs.layers:
            return None
        worst = max(signs.layers, key=_ratio)
        ratio = statistics.median(self.remember("ratios", _ratio(worst), last=_SAMPLES))
        before = list(self.memory.get("norms", ()))
        self.remember("norms", signs.gradient, last=_KEPT)
        usual = statistics.median(before) if before else signs.gradient
        if len(self.memory["ratios"]) >= _SAMPLES and ratio > _GREATEST_RATIO:
            message = f"The gradient of {worst.name} is {ratio:.0f} times as large as its weights."
        elif self._is_spike(signs, before, usual):
            message = f"The gradients are suddenly {signs.gradient / usual:.0f} times as large as usual."
        else:
            return None
        return Finding(
            self.cause,
            message,
            "Clip them (clip_norm=1.0), bring inputs and targets to about −1 to 1, lower the learning rate, or begin "
            "with smaller weights.",
            {"layer": worst.name, "gradient_to_weight": ratio, "gradient_norm": signs.gradient, "usual_norm": usual},
            Remedy.CLIP,
        )

    def _is_spike(self, signs: Signs, before: list[float], usual: float) -> bool:
        is_large = any(layer.gradient > layer.weight for layer in signs.layers)
        return len(before) >= _SAMPLES_BEFORE_SPIKE and signs.gradient > _SPIKE * usual and is_large


def _ratio(layer: Layer) -> float:
    """Some layers begin with weights of 0 on purpose, and have small ones for a while: that is no explosion."""
    return layer.gradient / max(layer.weight, _LEAST_WEIGHT) if math.isfinite(layer.gradient) else 0.0
