"""Callbacks as other libraries have them: functions, and objects like those of Keras."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from lepton_ai.errors import InvalidInput
from lepton_ai.training.callbacks import Callback, TrainingState
from lepton_ai.training.history import keras_names

_KERAS = (
    "on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_batch_end", "on_train_batch_end",
)  # fmt: skip
_LIGHTNING = ("on_train_start", "on_train_epoch_end", "on_validation_epoch_end")
_DERIVE = "Derive a class from lepton_ai.training.Callback: its on_epoch_end(self, state) and others see the run."


def as_callbacks(name: str, given: Any) -> list[Callback]:
    """Callbacks of ours. A function is called with the state at the end of every epoch.

    Raises InvalidInput for what cannot follow a run.
    """
    if not isinstance(given, list | tuple):
        raise InvalidInput.of_field(
            name, "must be a list of lepton_ai.training.callbacks.Callback", fix="Put it in brackets: callbacks=[…]."
        )
    return [_as_callback(name, each) for each in given]


def _as_callback(name: str, given: Any) -> Callback:
    if isinstance(given, Callback):
        return given
    if inspect.isclass(given):
        raise InvalidInput.of_field(name, f"{given.__name__} is a class", fix=f"Make one: {given.__name__}(…).")
    is_keras = any(callable(getattr(given, moment, None)) for moment in _KERAS)
    if is_keras and not any(hasattr(given, moment) for moment in _LIGHTNING):
        return KerasCallback(given)
    if is_keras or not callable(given):
        kind = type(given).__name__
        raise InvalidInput.of_field(name, f"a {kind} is no callback of Lepton, Keras, nor a function", fix=_DERIVE)
    return _AtEpochEnd(given)


class _AtEpochEnd(Callback):
    """Calls a function after every epoch."""

    def __init__(self, function: Callable[[TrainingState], Any]) -> None:
        self._function = function

    def on_epoch_end(self, state: TrainingState) -> None:
        self._function(state)


class KerasCallback(Callback):
    """Tells an object with the methods of Keras's callbacks about a run, in Keras's words: epochs from 0, `val_loss`.

    The object may end the run by `self.model.stop_training = True`; of the model there is nothing else.
    """

    stop_training = False

    def __init__(self, follower: Any) -> None:
        self._follower = follower

    def on_fit_begin(self, state: TrainingState) -> None:
        self.stop_training = False
        self._follower.model = self
        self._tell(state, "on_train_begin")

    def on_epoch_begin(self, state: TrainingState) -> None:
        self._tell(state, "on_epoch_begin", state.epoch - 1)

    def on_batch_end(self, state: TrainingState) -> None:
        step = (state.step - 1) % state.steps_per_epoch
        for moment in ("on_batch_end", "on_train_batch_end"):
            self._tell(state, moment, step, logs={"loss": state.loss})

    def on_epoch_end(self, state: TrainingState) -> None:
        self._tell(state, "on_epoch_end", state.epoch - 1, logs=keras_names(state.figures))

    def on_fit_end(self, state: TrainingState) -> None:
        self._tell(state, "on_train_end")

    def _tell(self, state: TrainingState, moment: str, *place: int, logs: Mapping[str, float] | None = None) -> None:
        method = getattr(self._follower, moment, None)
        if method is not None:
            method(*place, dict(logs or {}))
            if self.stop_training:
                state.stop("a callback set stop_training")
