"""Every way to fail is found in a run built to fail that way, with what is behind it; a healthy run has no findings."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lepton_ai.tensors import Array
from lepton_ai.training.callbacks import TrainingState
from lepton_ai.training.doctor import Doctor
from lepton_ai.training.doctor.data_starvation import DataStarvation
from lepton_ai.training.doctor.divergence import Divergence
from lepton_ai.training.doctor.signs import Signs
from lepton_ai.training.history import History
from lepton_ai.training.prepared import Prepared
from lepton_ai.training.settings import FitSettings
from tests.unit.training.doctor.sick_runs import (
    Logarithm,
    Spike,
    causes,
    deep_sigmoids,
    examine,
    noisy,
    scaled,
    with_bad_row,
)
from tests.unit.training.runs import layers, points, train


def note(history: History, cause: str) -> dict[str, Any]:
    """The one note of this cause."""
    found = [each for each in history.notes if each["finding"] == cause]
    assert len(found) == 1, history.notes
    return found[0]


@pytest.mark.parametrize("optimizer", ["adamw", "momentum", "sgd"])
@pytest.mark.parametrize("norm", [False, True])
def test_a_healthy_run_has_no_findings(optimizer: str, norm: bool) -> None:
    middle = [nn.BatchNorm1d(32)] if norm else []
    network = nn.Sequential(layers(4, 32), *middle, nn.ReLU(), layers(32, 16, 2, seed=1))
    rate = 0.01 if optimizer == "adamw" else 0.1
    history = examine(
        network,
        points(256),
        validation=points(128, seed=1),
        epochs=15,
        optimizer=optimizer,
        learning_rate=rate,
        schedule="cosine",
        warmup_steps=10,
    )
    assert history["validation_accuracy"][-1] > 0.9
    assert history.notes == []


def test_vanishing_gradients_name_the_layers() -> None:
    found = note(examine(deep_sigmoids()), "vanishing gradients")
    assert "0.weight" in found["evidence"]["layers"]
    assert "20.weight" not in found["evidence"]["layers"]
    assert "norm" in found["advice"]


def test_exploding_gradients_name_the_worst_layer() -> None:
    network = layers(4, *[16] * 8, 2, activation=nn.Identity)
    found = note(examine(scaled(network, 8.0), learning_rate=1e-12), "exploding gradients")
    assert found["evidence"]["gradient_to_weight"] > 100
    assert found["evidence"]["layer"].endswith(".weight")
    assert "clip_norm" in found["advice"]


def test_a_sudden_spike_of_gradients_is_found() -> None:
    network = nn.Sequential(Spike(at=21), layers(4, 8, 2))
    found = note(examine(network, learning_rate=1e-6), "exploding gradients")
    assert "suddenly" in found["message"]
    assert found["step"] == 21


def test_clipped_gradients_do_not_explode() -> None:
    network = nn.Sequential(Spike(at=21), layers(4, 8, 2))
    assert "exploding gradients" not in causes(examine(network, learning_rate=1e-6, clip_norm=1.0))


def test_dead_units_name_the_layer_and_its_share() -> None:
    network = layers(4, 16, 16, 2)
    with torch.no_grad():
        list(network.parameters())[1][:12] = -100
    found = note(examine(network), "dead units")
    assert found["evidence"]["share"]["1"] == 0.75
    assert "75%" in found["message"]


def test_dead_channels_of_convolutions_are_units() -> None:
    convolution = nn.Conv1d(1, 8, 3)
    with torch.no_grad():
        convolution.bias[:6] = -100  # type: ignore[index]
    network = nn.Sequential(nn.Unflatten(1, (1, 4)), convolution, nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
    assert note(examine(network), "dead units")["evidence"]["share"] == {"2": 0.75}


def test_a_row_that_is_not_finite_is_named() -> None:
    found = note(examine(data=with_bad_row(13)), "not a number")
    assert found["evidence"] == {"rows": [13], "input": "x"}
    assert "rows 13" in found["message"]
    assert 'data.clean(missing="drop")' in found["advice"]
    assert found["epoch"] == 1


def test_the_layer_that_makes_something_infinite_is_named_with_epoch_step_and_rows() -> None:
    network = nn.Sequential(layers(4, 8), Logarithm(), nn.Linear(8, 2))
    found = note(examine(network), "not a number")
    assert found["evidence"]["layer"] == "1 (Logarithm)"
    assert len(found["evidence"]["rows"]) == 16
    assert "epoch 1, step 1" in found["message"]


def test_weights_that_are_not_finite_end_the_run() -> None:
    history = examine(layers(4, 8, 2), with_bad_row(3))
    assert history.ended == "the weights are not finite any more"
    assert len(history) == 1


def test_a_loss_that_is_not_finite_by_itself_is_told_from_a_layer() -> None:
    found = note(examine(loss=lambda output, target: (output * 0).log().sum() * 0), "not a number")
    assert "the loss" in found["advice"]
    assert found["evidence"]["gradients"]


def test_looking_for_the_layer_does_not_change_running_statistics() -> None:
    norm = nn.BatchNorm1d(8)
    network = nn.Sequential(layers(4, 8), norm, Logarithm(), nn.Linear(8, 2))
    examine(network, data=points(16))
    assert norm.num_batches_tracked == 2  # the steps before the end; not the second look at the first


def test_over_fitting_names_the_best_epoch() -> None:
    history = examine(layers(16, 64, 2), noisy(), validation=noisy(seed=1), epochs=30)
    found = note(history, "over-fitting")
    assert found["evidence"]["best_epoch"] <= 10
    assert "patience" in found["advice"]


def test_a_plateau_is_found() -> None:
    found = note(examine(layers(16, 2), noisy(512), epochs=12, optimizer="sgd", learning_rate=0.05), "plateau")
    assert found["evidence"]["best_loss_since"] > 0.5


def test_what_has_been_learned_is_no_plateau() -> None:
    assert "plateau" not in causes(examine(layers(4, 32, 2), points(32), epochs=60, learning_rate=0.05))


def test_divergence_says_how_large_the_steps_are() -> None:
    history = examine(layers(4, 32, 2), noisy(features=4), optimizer="sgd", learning_rate=60.0, epochs=20)
    found = note(history, "divergence")
    assert found["evidence"]["loss"] > found["evidence"]["first_loss"]
    assert "learning rate" in found["advice"]
    assert "learning rate too high" not in causes(history)  # said already


def divergence_of(losses: Array) -> bool:
    """Whether it is found in these losses of steps."""
    state = TrainingState(nn.Identity(), torch.optim.SGD([torch.zeros(1)]), FitSettings(), History(), 1)
    signs, check = Signs(state), Divergence()
    found = []
    for loss in losses:
        signs.losses.add(float(loss))
        found.append(check.at_sample(signs))
    return any(found)


@pytest.mark.parametrize("seed", range(5))
def test_losses_that_go_up_and_down_with_small_batches_do_not_diverge(seed: int) -> None:
    chance = np.random.default_rng(seed).exponential(size=600) ** 1.7
    learned = np.concatenate([np.ones(10), 0.2 * chance])
    assert not divergence_of(learned)
    assert divergence_of(np.concatenate([learned, learned[10:] + np.linspace(0, 5, 600)]))


def test_a_learning_rate_that_is_too_high_is_found() -> None:
    history = examine(layers(16, 2), noisy(512), epochs=4, optimizer="sgd", learning_rate=0.5)
    found = note(history, "learning rate too high")
    assert found["evidence"]["change_per_step"] > 0.1


def test_a_learning_rate_that_is_too_low_is_found() -> None:
    found = note(examine(learning_rate=1e-8, epochs=20), "learning rate too low")
    assert "find_learning_rate" in found["advice"]


def test_a_learning_rate_that_is_low_for_the_time_of_warm_up_is_fine() -> None:
    history = examine(learning_rate=1e-8, warmup_steps=80, epochs=20)  # of 80 steps
    assert "learning rate too low" not in causes(history)


def test_data_starvation_says_how_long_a_step_waits() -> None:
    state = TrainingState(nn.Identity(), torch.optim.SGD([torch.zeros(1)]), FitSettings(), History(), 1)
    signs = Signs(state, waited_s=3.0, stepped_s=4.0, steps=100)
    found = DataStarvation().at_sample(signs)
    assert found is not None
    assert "75%" in found.message
    assert "30.0 ms" in found.message
    signs.waited_s = 1.0
    assert DataStarvation().at_sample(signs) is None


def test_time_spent_in_augmenting_is_time_waited() -> None:
    def work(batch: Any, random: np.random.Generator) -> Any:
        random.normal(size=300_000)
        return batch

    doctor = Doctor(checks=[DataStarvation(least_wait_s=0.01)], report=lambda _: None)
    history = train(callbacks=[doctor], epochs=8, augment=work)
    assert note(history, "data starvation")["evidence"]["share"] > 0.5


def test_rivals_are_not_judged_by_their_loss() -> None:
    doctor = Doctor(report=lambda _: None, loss_falls=False)
    history = train(
        layers(4, 32, 2), noisy(features=4), callbacks=[doctor], optimizer="sgd", learning_rate=60.0, epochs=9
    )
    assert "divergence" not in causes(history)


def test_findings_go_to_the_log_once_each(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        train(deep_sigmoids(), epochs=10, callbacks=[Doctor()])
    messages = [record.message for record in caplog.records]
    assert len([message for message in messages if message.startswith("Vanishing gradients: ")]) == 1


def test_notes_are_json_data() -> None:
    history = examine(data=with_bad_row(3, float("inf")))
    assert History.from_document(history.document()).notes == history.notes


def test_watching_does_not_change_the_run() -> None:
    def losses(*callbacks: Doctor) -> list[float]:
        network = nn.Sequential(layers(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))
        torch.nn.init.zeros_(network[-1].weight)  # type: ignore[arg-type]
        return train(network, points(), points(seed=1), callbacks=callbacks, epochs=4)["validation_loss"]

    assert losses() == losses(Doctor()) == losses(Doctor(auto=True))


def test_no_hooks_are_left_on_the_network() -> None:
    network = layers(4, 8, 2)
    examine(network, data=Prepared({"x": np.zeros((8, 4), np.float32)}, {"class": np.zeros(8, np.int64)}))
    assert not any(module._forward_hooks for module in network.modules())
