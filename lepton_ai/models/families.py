"""Every kind of model by its class's name, and the module that it lives in."""

from __future__ import annotations

FAMILIES: dict[str, str] = {
    "CNN": "lepton_ai.models.cnn",
    "Forecaster": "lepton_ai.models.forecast",
    "GRU": "lepton_ai.models.recurrent",
    "KeywordSpotter": "lepton_ai.models.keyword",
    "LSTM": "lepton_ai.models.recurrent",
    "MLP": "lepton_ai.models.mlp",
    "RNN": "lepton_ai.models.recurrent",
    "TextClassifier": "lepton_ai.models.text",
}
