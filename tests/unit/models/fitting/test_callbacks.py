"""Functions and objects of Keras as callbacks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.models import MLP
from lepton_ai.training.callbacks import TrainingState
from lepton_ai.training.history import History

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


class Keras:
    """A callback as Keras has them, without its base class; ends the run after so many epochs."""

    model: Any

    def __init__(self, last: int = 99) -> None:
        self.heard: list[str] = []
        self.logs: dict[str, float] = {}
        self._last = last

    def on_train_begin(self, logs: Any = None) -> None:
        self.heard.append("begin")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.heard.append(f"batch {batch}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.heard.append(f"epoch {epoch}")
        self.logs = logs
        self.model.stop_training = epoch == self._last

    def on_train_end(self, logs: Any = None) -> None:
        self.heard.append("end")


class Lightning:
    """Speaks of a trainer, which there is not."""

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None: ...


def fit(callback: Any, epochs: int = 2) -> History:
    return MLP((4,)).fit(X, Y, epochs=epochs, batch_size=18, validation=None, progress=False, callbacks=[callback])


def test_a_function_is_called_after_every_epoch() -> None:
    states: list[str] = []
    fit(lambda state: states.append(f"{state.epoch}: {state.figures['loss']:.0f}"))
    assert [each.partition(":")[0] for each in states] == ["1", "2"]


def test_an_object_of_keras_hears_of_the_run_in_its_words() -> None:
    follower = Keras()
    MLP((4,)).fit(X, Y, epochs=2, batch_size=18, progress=False, callbacks=[follower])
    assert follower.heard == ["begin", "batch 0", "batch 1", "epoch 0", "batch 0", "batch 1", "epoch 1", "end"]
    assert {"loss", "val_loss", "val_accuracy"} <= set(follower.logs)


def test_an_object_of_keras_may_end_the_run() -> None:
    history = fit(Keras(last=0), epochs=5)
    assert len(history) == 1
    assert history.ended == "a callback set stop_training"


@pytest.mark.parametrize("given", [Lightning(), object()])
def test_what_does_not_know_our_runs_is_refused(given: object) -> None:
    with pytest.raises(InvalidInput, match=f"a {type(given).__name__} is no callback.*on_epoch_end"):
        fit(given)


def test_the_state_prints_as_one_line() -> None:
    told: list[TrainingState] = []
    fit(told.append, epochs=1)
    assert repr(told[0]).startswith("TrainingState(epoch=1, step=3, loss=0.")
    assert "\n" not in repr(told[0])
