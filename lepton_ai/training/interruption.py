"""Ctrl-C and SIGTERM end a run after the step that is under way, so that nothing of it is lost."""

from __future__ import annotations

import signal
import threading
from typing import Any

from lepton_ai.training.callbacks import Callback, TrainingState


class Interruption(Callback):
    """Ends a run early when its process is asked to end: with its best weights, history and checkpoint.

    The second Ctrl-C ends it at once. Only the main thread hears signals, and whoever handles them already goes on to.
    """

    def __init__(self) -> None:
        self._signal: int | None = None
        self._handlers: dict[int, Any] = {}

    def on_fit_begin(self, state: TrainingState) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                self._handlers[number] = signal.signal(number, self._remember)

    def on_batch_end(self, state: TrainingState) -> None:
        self._stop(state)

    def on_epoch_end(self, state: TrainingState) -> None:
        self._stop(state)

    def on_fit_end(self, state: TrainingState) -> None:
        self._give_back()

    def pass_on(self) -> None:
        """What was put off happens: KeyboardInterrupt after Ctrl-C, the end of the process after SIGTERM."""
        if self._signal is not None:
            signal.raise_signal(self._signal)

    def _remember(self, number: int, frame: object) -> None:
        self._signal = number
        self._give_back()

    def _give_back(self) -> None:
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def _stop(self, state: TrainingState) -> None:
        if self._signal is not None:
            state.stop("interrupted")
