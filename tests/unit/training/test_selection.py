"""Which epoch counts as the best."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from torch import Tensor, nn

from lepton_ai.models import MLP
from lepton_ai.training.selection import Selection


def best_of(epochs: Sequence[tuple[float, float]], *, restored: bool = False) -> int | None:
    """The best of epochs with these accuracies and validation losses."""
    selection = accuracy()
    for number, (value, loss) in enumerate(epochs, 1):
        if restored:
            document, selection = selection.document(), accuracy()
            selection.restore(document, {})
        selection.saw(number, {"validation_accuracy": value, "validation_loss": loss}, nn.Linear(1, 1))
    return selection.best_epoch


def accuracy() -> Selection:
    return Selection("validation_accuracy", higher_is_better=True, patience=None, keeps_weights=False)


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize(
    ("epochs", "best"),
    [
        ([(0.6, 0.7), (0.8, 0.9), (0.7, 0.5)], 2),
        ([(0.605, 3e24), (0.5, 0.7), (0.515, 0.69)], 3),  # exploded at first
        ([(0.5, 0.7), (0.605, 3e24), (0.55, 0.69)], 3),  # in between
        ([(0.5, 0.7), (0.55, 0.69), (0.605, math.inf)], 2),  # at last
        ([(0.5, 0.7), (0.605, math.nan)], 1),
        ([(0.5, 3e24), (0.6, 2e24)], 2),  # all of them
        ([(0.8, 0.001), (0.9, 0.9)], 2),  # no explosion, however small the least loss
        ([(0.8, 0.4), (0.9, 39.0)], 2),  # sure of its mistakes
    ],
)
def test_an_epoch_that_exploded_is_not_the_best(epochs: list[tuple[float, float]], best: int, restored: bool) -> None:
    assert best_of(epochs, restored=restored) == best


def test_without_validation_nothing_counts_as_exploded() -> None:
    selection = Selection("loss", higher_is_better=False, patience=None, keeps_weights=False)
    for number, loss in enumerate((1e9, 1e3, 2e3), 1):
        selection.saw(number, {"loss": loss}, nn.Linear(1, 1))
    assert selection.best_epoch == 2


def test_a_rescued_run_ends_with_weights_that_did_not_explode() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(600, 6)).astype("float32")
    classes = np.where(rows[:, 0] * rows[:, 1] > 0, "是", "否")
    model = MLP([64, 32])
    history = model.fit(
        rows, classes, epochs=8, optimizer="sgd", learning_rate=500.0, schedule="constant", auto=True, progress=False
    )
    losses = history["validation_loss"]
    assert max(losses) > 1e6, "nothing exploded"
    assert history.best_epoch is not None and losses[history.best_epoch - 1] < 10
    assert model.evaluate(rows, classes).metrics["loss"] < 10


@pytest.mark.parametrize(
    ("number", "is_chosen"), [(math.inf, False), (math.nan, False), (-math.inf, True), (1e30, True)]
)
def test_an_epoch_that_left_a_network_with_overflown_numbers_is_not_chosen(number: float, is_chosen: bool) -> None:
    """Minus infinity is no accident: masks of attention are made of it."""
    selection, network = accuracy(), nn.BatchNorm1d(3)
    assert isinstance(network.running_var, Tensor)
    network.running_var[1] = number
    selection.saw(1, {"validation_accuracy": 0.9, "validation_loss": 0.5}, network)
    assert (selection.best_epoch == 1) is is_chosen
