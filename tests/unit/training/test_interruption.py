"""Ctrl-C while a model trains."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from lepton_ai.models import MLP
from lepton_ai.training.callbacks import Callback, TrainingState
from tests.unit.training.tables import table


@pytest.fixture(autouse=True)
def hears_ctrl_c() -> Iterator[None]:
    """Processes in the background are born deaf to it, and so are tests there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Press(Callback):
    """Presses Ctrl-C in a step, as often as wanted."""

    def __init__(self, *, step: int, times: int = 1) -> None:
        self._step, self._times = step, times

    def on_batch_end(self, state: TrainingState) -> None:
        if state.step == self._step:
            for _ in range(self._times):
                signal.raise_signal(signal.SIGINT)


def test_ctrl_c_ends_a_run_that_keeps_what_it_has_learned() -> None:
    model = MLP([4])
    with pytest.raises(KeyboardInterrupt):
        model.fit(table(), epochs=5, batch_size=40, callbacks=[Press(step=4)], progress=False)
    assert model.history.ended == "interrupted"
    assert len(model.history) == 2  # of three steps, the second one cut short
    assert model.golden
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_ends_it_at_once() -> None:
    steps: list[int] = []

    class Count(Callback):
        def on_batch_end(self, state: TrainingState) -> None:
            steps.append(state.step)

    with pytest.raises(KeyboardInterrupt):
        MLP([4]).fit(table(), epochs=5, callbacks=[Press(step=3, times=2), Count()], progress=False)
    assert steps == [1, 2]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_ignores_ctrl_c_goes_on_to() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    history = MLP([4]).fit(table(), epochs=1, callbacks=[Press(step=1)], progress=False)
    assert history.ended == ""
