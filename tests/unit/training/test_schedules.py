"""Learning rates over a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.training.callbacks import Callback, TrainingState
from lepton_ai.training.history import History
from lepton_ai.training.schedules import SCHEDULES, make_schedule
from tests.unit.training.runs import layers, points, train


class Rates(Callback):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_batch_end(self, state: TrainingState) -> None:
        self.seen.append(state.learning_rate)


def rates(**settings: Any) -> list[float]:
    seen = Rates()
    train(callbacks=[seen], epochs=5, learning_rate=1.0, optimizer="sgd", **settings)
    return seen.seen


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_rates_stay_between_nothing_and_the_one_that_was_set(name: str) -> None:
    schedule = make_schedule(name)
    assert all(0 <= schedule(step, 100) <= 1 for step in range(101))


@pytest.mark.parametrize("name", ["cosine", "linear", "one_cycle"])
def test_schedules_that_fall_end_near_nothing(name: str) -> None:
    assert make_schedule(name)(99, 100) < 0.02


def test_warm_up_rises_in_equal_steps_and_the_schedule_follows() -> None:
    seen = rates(schedule="linear", warmup_steps=10)  # of 20 steps
    assert seen[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert seen[10:] == pytest.approx([1 - step / 10 for step in range(10)])


def test_a_warm_up_longer_than_the_run_is_refused_with_one_that_fits() -> None:
    assert rates(warmup_steps=20)[-1] == 1.0
    with pytest.raises(InvalidInput, match="warmup_steps: is 21, the run has 20") as error:
        rates(warmup_steps=21)
    assert error.value.fix == "Try 2, a tenth of the run, or more epochs."


def test_the_step_schedule_divides_by_ten_every_third() -> None:
    schedule = make_schedule("step")
    assert [schedule(step, 90) for step in (0, 29, 31, 61)] == pytest.approx([1, 1, 0.1, 0.01])


def test_a_function_is_a_schedule() -> None:
    assert rates(schedule=lambda step, steps: step / steps)[10] == pytest.approx(0.5)


def test_an_unknown_schedule_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match="plateau"):
        make_schedule("cosinus")


def stuck(epochs: int, directory: Path | None = None) -> History:
    """A run that cannot get better: its loss does not depend on the weights."""
    return train(
        layers(4, 2),
        points(),
        epochs=epochs,
        schedule="plateau",
        learning_rate=1.0,
        loss=lambda output, target: (output * 0).sum() + 1,
        checkpoint=directory,
    )


def test_on_a_plateau_the_rate_falls_after_three_epochs_and_again() -> None:
    assert stuck(8)["learning_rate"] == pytest.approx([1, 1, 1, 1, 0.3, 0.3, 0.3, 0.09])


def test_the_rate_does_not_fall_while_the_run_gets_better() -> None:
    history = train(epochs=8, schedule="plateau", learning_rate=0.01)
    assert set(history["learning_rate"]) == {0.01}


def test_a_plateau_is_remembered_over_a_kill(tmp_path: Path) -> None:
    stuck(3, tmp_path)
    assert stuck(8, tmp_path)["learning_rate"] == stuck(8)["learning_rate"]
