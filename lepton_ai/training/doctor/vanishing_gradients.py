"""Vanishing gradients: layers that learn nothing because hardly any gradient reaches them."""

from __future__ import annotations

import statistics

from lepton_ai.training.doctor.finding import Check, Finding
from lepton_ai.training.doctor.signs import Signs

_SAMPLES = 3
_LEAST_SHARE = 1e-4
_NAMED = 5


class VanishingGradients(Check):
    """The gradient of a typical element is 10,000 times smaller than in the layer that gets most (Glorot 2010)."""

    cause = "vanishing gradients"

    def at_sample(self, signs: Signs) -> Finding | None:
        layers = [layer for layer in signs.layers if not layer.is_embedding]
        most = max((layer.gradient for layer in layers), default=0.0)
        if len(layers) < 2 or not 0 < most < float("inf"):
            return None
        shares = {
            layer.name: statistics.median(self.remember(layer.name, layer.gradient / most, last=_SAMPLES))
            for layer in layers
        }
        if min(len(self.memory[name]) for name in shares) < _SAMPLES:
            return None
        starving = [name for name, share in shares.items() if share < _LEAST_SHARE]
        if not starving:
            return None
        named = ", ".join(starving[:_NAMED]) + (" …" if len(starving) > _NAMED else "")
        return Finding(
            self.cause,
            f"Hardly any gradient reaches {len(starving)} of {len(layers)} layers ({named}).",
            "Use ReLU or GELU in place of sigmoid and tanh, batch or layer norm between layers, connections that skip "
            "layers, or fewer layers.",
            {"layers": starving, "share_of_greatest": {name: shares[name] for name in starving}},
        )
