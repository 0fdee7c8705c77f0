"""With `auto`, the doctor saves runs that would be lost, and every action is on record."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lepton_ai.training.callbacks import Callback, TrainingState
from lepton_ai.training.doctor import Doctor
from lepton_ai.training.doctor.snapshot import Snapshot
from lepton_ai.training.history import History
from tests.unit.training.doctor.sick_runs import Spike, actions, causes, examine, noisy, scaled, with_bad_row
from tests.unit.training.runs import layers, points, train


class KilledError(Exception):
    """Stands for a kill."""


class Spoil(Callback):
    """Puts NaN into a weight once, as a step that was too large would."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_batch_end(self, state: TrainingState) -> None:
        if state.step == self._step:
            with torch.no_grad():
                next(state.network.parameters()).fill_(math.nan)


def is_finite(network: nn.Module) -> bool:
    return all(bool(torch.isfinite(each).all()) for each in network.state_dict().values())


def first_weight(network: nn.Module) -> Tensor:
    return next(network.parameters()).detach()


def test_steps_of_rows_that_are_not_finite_are_skipped() -> None:
    network = nn.Sequential(layers(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
    history = examine(network, with_bad_row(5), validation=points(seed=1), epochs=20, auto=True)
    assert is_finite(network)
    assert history["validation_accuracy"][-1] > 0.85
    assert actions(history) == ["skipped the step"] * 20
    assert history.notes[0]["step"] == 0, "the very first step should be among them"
    assert history.ended == ""


def test_weights_that_are_not_finite_are_taken_back() -> None:
    network = layers(4, 16, 2)
    history = examine(network, points(), validation=points(seed=1), epochs=20, auto=True, callbacks=[Spoil(30)])
    assert is_finite(network)
    assert history["validation_accuracy"][-1] > 0.85
    (action,) = actions(history)
    assert action.startswith("went back to the weights of step 28, lowered the learning rate to 0.0025")


def test_a_run_that_diverges_goes_back_and_learns_with_a_lower_rate() -> None:
    def final(*, auto: bool) -> float:
        settings = {"optimizer": "momentum", "learning_rate": 8.0, "epochs": 40, "keep_best": False}
        history = examine(layers(4, 16, 2), points(128), validation=points(128, seed=1), auto=auto, **settings)
        assert "divergence" in causes(history)
        assert bool(actions(history)) is auto
        return history["validation_loss"][-1]

    assert final(auto=True) < 0.4 < final(auto=False)


def test_exploding_gradients_are_clipped() -> None:
    network = scaled(layers(4, *[16] * 8, 2, activation=nn.Identity), 4.0)
    history = examine(network, epochs=10, learning_rate=1e-4, optimizer="sgd", auto=True)
    assert "clips gradients to a norm of 1" in actions(history)
    assert is_finite(network)


def test_a_spike_is_clipped_before_it_does_damage() -> None:
    def change(*, auto: bool) -> float:
        network = layers(4, 8, 2)
        weight = first_weight(network)
        before = weight.clone()
        spiky = nn.Sequential(Spike(at=21), Spike(at=31), network)
        examine(spiky, epochs=10, optimizer="sgd", learning_rate=1e-4, auto=auto)
        return float((weight - before).norm())

    assert change(auto=True) < change(auto=False) / 1.9  # the first one tells, the second one meets the clip


def test_a_plateau_lowers_the_rate() -> None:
    history = examine(layers(16, 2), noisy(512), epochs=12, optimizer="sgd", learning_rate=0.05, auto=True)
    assert history["learning_rate"][-1] < 0.05
    assert any(action.startswith("lowered the learning rate") for action in actions(history))


def test_a_run_that_nothing_helps_is_ended() -> None:
    history = examine(loss=lambda output, target: output.sum() * math.nan, epochs=400, auto=True)
    assert "not stable" in history.ended
    assert len(history) < 100


def test_without_auto_nothing_is_done() -> None:
    network = layers(4, 8, 2)
    history = examine(network, noisy(features=4), optimizer="sgd", learning_rate=60.0, epochs=20)
    assert history.notes
    assert actions(history) == []
    assert set(history["learning_rate"]) == {60.0}


@pytest.mark.parametrize("epoch", [1, 2, 6])
def test_what_the_doctor_knows_and_has_done_survives_a_kill(tmp_path: Path, epoch: int) -> None:
    class Kill(Callback):
        def on_epoch_end(self, state: TrainingState) -> None:
            if state.epoch == epoch:
                raise KilledError

    def run(directory: Path | None, *callbacks: Callback) -> History:
        network, doctor = layers(4, 16, 2), Doctor(auto=True, report=lambda _: None)
        chosen: dict[str, Any] = {"optimizer": "momentum", "learning_rate": 8.0, "epochs": 12, "checkpoint_steps": 1}
        return train(network, points(), callbacks=[doctor, *callbacks], checkpoint=directory, **chosen)

    whole = run(None)
    with pytest.raises(KilledError):
        run(tmp_path, Kill())
    resumed = run(tmp_path)
    assert resumed["loss"] == whole["loss"]
    assert actions(resumed) == actions(whole) != []


def test_a_snapshot_can_be_restored_twice() -> None:
    network = layers(4, 8, 2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)

    def step() -> None:
        network(torch.ones(2, 4)).sum().backward()
        optimizer.step()

    step()
    weight = next(network.parameters())
    before = weight.detach().clone()
    snapshot = Snapshot.take(network, optimizer, step=1)
    for _ in range(2):
        step()
        snapshot.restore(network, optimizer)
        assert torch.equal(before, weight)
        assert optimizer.state[weight]["step"] == 1
