"""Every kind of model by its class's name, and the module that it lives in."""

from __future__ import annotations

FAMILIES: dict[str, str] = {
    "Autoencoder": "lepton_ai.models.autoencoder",
    "CNN": "lepton_ai.models.cnn",
    "Forecaster": "lepton_ai.models.forecast",
    "GAN": "lepton_ai.models.gan",
    "GRU": "lepton_ai.models.recurrent",
    "KeywordSpotter": "lepton_ai.models.keyword",
    "LSTM": "lepton_ai.models.recurrent",
    "MLP": "lepton_ai.models.mlp",
    "RNN": "lepton_ai.models.recurrent",
    "Recommender": "lepton_ai.models.recommend",
    "TextClassifier": "lepton_ai.models.text",
    "Transfer": "lepton_ai.models.transfer",
    "Wrapped": "lepton_ai.models.wrap",
}

TRAINED_FILE = "trained.pth"
"""In a package: the model as it is saved, for those who want to train it further."""
