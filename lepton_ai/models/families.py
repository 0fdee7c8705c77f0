"""Every kind of model by its class's name, and the module that it lives in."""

from __future__ import annotations

FAMILIES: dict[str, str] = {
    "CNN": "lepton_ai.models.cnn",
    "MLP": "lepton_ai.models.mlp",
}
