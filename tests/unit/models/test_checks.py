"""Constructors refuse what cannot be a network, naming the argument and what is allowed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.models import CNN, GAN, GRU, LSTM, MLP, Autoencoder, Forecaster, KeywordSpotter, Model, Recommender
from lepton_ai.models import TextClassifier as Texts

REFUSED: list[tuple[Callable[[], Model], str]] = [
    (lambda: CNN((3, 128, 128), 2), r"input_shape: is \(3, 128, 128\), must be \(height, width, channels\)"),
    (lambda: CNN((3, 128, 128), 2), r"1 or 3 channels, which are last here: \(128, 128, 3\)"),
    (lambda: CNN(128, 2), "input_shape: is 128, must be"),  # type: ignore[arg-type]
    (lambda: CNN((128, 128, "3"), 2), "input_shape"),  # type: ignore[arg-type]
    (lambda: CNN(num_classes=1), "num_classes: is 1, must be at least 2"),
    (lambda: CNN(channels=(8, 0)), "channels"),
    (lambda: GAN((30, 30, 1)), "multiples of 4 from 8 on"),
    (lambda: Autoencoder(input_shape=(28, 28)), "input_shape"),
    (lambda: Autoencoder(quantile=99), "quantile: is 99, must be between 0 and 1"),
    (lambda: MLP(64), r"hidden: is 64, must be widths, such as \(64, 32\)"),  # type: ignore[arg-type]
    (lambda: MLP((-3,)), "hidden"),
    (lambda: MLP(dropout=1.0), "dropout: is 1.0, must be at least 0 and less than 1"),
    (lambda: MLP(task="classify"), "task: there is no 'classify'. There are classification, regression"),  # type: ignore[arg-type]
    (lambda: LSTM(0), "hidden: is 0, must be a whole number of at least 1"),
    (lambda: LSTM(layers=1.5), "layers: is 1.5"),  # type: ignore[arg-type]
    (lambda: GRU(level="letters"), "level: there is no 'letters'. There are char"),  # type: ignore[arg-type]
    (lambda: Texts("rnn"), "encoder: there is no 'rnn'. There are cnn, lstm, transformer"),  # type: ignore[arg-type]
    (lambda: Forecaster(window=0), "window: is 0"),
    (lambda: KeywordSpotter(channels=True), "channels: is True"),
    (lambda: Recommender("stars"), "objective: there is no 'stars'"),  # type: ignore[arg-type]
    (lambda: Recommender(kind="towers"), "kind: there is no 'towers'"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "told"), REFUSED, ids=[told.split(":")[0] for _, told in REFUSED])
def test_wrong_values_are_refused(make: Callable[[], Model], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        make()
