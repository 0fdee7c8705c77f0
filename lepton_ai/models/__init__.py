"""Models to train: one class a kind of network, one interface for all (`lepton_ai.models.model.Model`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.lazy import lazily
from lepton_ai.models.families import FAMILIES

if TYPE_CHECKING:
    from lepton_ai.models.answers import Evaluation, Predicted
    from lepton_ai.models.autoencoder import Autoencoder
    from lepton_ai.models.cnn import CNN
    from lepton_ai.models.forecast import Forecaster
    from lepton_ai.models.gan import GAN
    from lepton_ai.models.keyword import KeywordSpotter
    from lepton_ai.models.mlp import MLP
    from lepton_ai.models.model import Model
    from lepton_ai.models.recommend import Recommender
    from lepton_ai.models.recurrent import GRU, LSTM, RNN
    from lepton_ai.models.text import TextClassifier
    from lepton_ai.models.transfer import Transfer
    from lepton_ai.models.wrap import Wrapped

__all__ = [
    "CNN",
    "GAN",
    "GRU",
    "LSTM",
    "MLP",
    "RNN",
    "Autoencoder",
    "Evaluation",
    "Forecaster",
    "KeywordSpotter",
    "Model",
    "Predicted",
    "Recommender",
    "TextClassifier",
    "Transfer",
    "Wrapped",
]

_HOMES = FAMILIES | {
    "Evaluation": "lepton_ai.models.answers",
    "Model": "lepton_ai.models.model",
    "Predicted": "lepton_ai.models.answers",
}

__getattr__ = lazily(__name__, _HOMES)
