"""What the training loop promises, on networks of a few neurons."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lepton_ai.datasets.batch import Batch
from lepton_ai.errors import InvalidInput
from lepton_ai.training.callbacks import Callback, TrainingState
from lepton_ai.training.prepared import Prepared
from tests.unit.training.runs import layers, points, train


class Gradients(Callback):
    """Keeps the gradients and the weights of every step."""

    def __init__(self) -> None:
        self.of_steps: list[list[Tensor]] = []

    def on_backward_end(self, state: TrainingState) -> None:
        grads = [parameter.grad for parameter in state.network.parameters()]
        self.of_steps.append([grad.clone() for grad in grads if grad is not None])


class StopAt(Callback):
    def __init__(self, step: int) -> None:
        self._step = step

    def on_batch_end(self, state: TrainingState) -> None:
        if state.step == self._step:
            state.stop("enough")


def gradients(**settings: Any) -> list[list[Tensor]]:
    seen = Gradients()
    train(callbacks=[seen], epochs=1, **settings)
    return seen.of_steps


def test_a_network_learns_what_can_be_learned() -> None:
    history = train(epochs=20, validation=points(seed=1), learning_rate=0.05)
    assert history["loss"][-1] < history["loss"][0] / 2
    assert history["validation_accuracy"][-1] > 0.9


def test_the_same_seed_gives_the_same_losses_and_another_seed_others() -> None:
    def losses(seed: int) -> list[float]:
        network = nn.Sequential(layers(4, 8, 8), nn.Dropout(0.5), layers(8, 2, seed=1))
        return train(network, seed=seed)["loss"]

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)


def test_large_seeds_work() -> None:
    assert train(seed=2**62)["loss"]


def test_training_leaves_the_callers_randomness_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    network = layers(4, 8, 2)
    torch.manual_seed(7)
    train(network)
    assert torch.rand(1) == expected


def test_accumulated_batches_are_one_large_batch() -> None:
    large, accumulated = gradients(batch_size=32), gradients(batch_size=8, accumulate=4)
    assert len(large) == len(accumulated) == 2
    for one, other in zip(large, accumulated, strict=True):
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a, b)


def test_uneven_batches_weigh_by_their_rows() -> None:
    data = points(22)  # 8 + 8 + 6
    (large,) = gradients(data=data, batch_size=22)
    (accumulated,) = gradients(data=data, batch_size=8, accumulate=3)
    for a, b in zip(large, accumulated, strict=True):
        torch.testing.assert_close(a, b)


def test_a_last_row_that_is_alone_joins_the_batch_before() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    assert len(gradients(network=network, data=points(17), batch_size=16)) == 1


def normed(*, track_running_stats: bool = True) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, track_running_stats=track_running_stats), nn.Linear(8, 2))


@pytest.mark.parametrize("settings", [{"batch_size": 1}, {"batch_size": 1, "accumulate": 4}])
def test_batch_norm_takes_single_rows_as_when_it_is_served_and_the_history_says_so(settings: dict[str, Any]) -> None:
    network = normed()
    history = train(network=network, data=points(9), epochs=2, doctor=False, **settings)
    assert all(math.isfinite(loss) for loss in history["loss"])
    assert torch.equal(network.get_buffer("1.running_mean"), torch.zeros(8))
    assert [note["action"] for note in history.notes] == ["Batch norm used its running statistics for it."]
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in network.modules())


def test_batches_of_several_rows_are_normalised_by_themselves() -> None:
    network = normed()
    history = train(network=network, data=points(17), batch_size=8, doctor=False)
    assert not torch.equal(network.get_buffer("1.running_mean"), torch.zeros(8))
    assert history.notes == []


def test_batch_norm_that_keeps_no_statistics_cannot_take_single_rows() -> None:
    with pytest.raises(InvalidInput, match=r"batch_size: leaves a batch of a single row.*at least 2"):
        train(network=normed(track_running_stats=False), data=points(9), batch_size=1)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_other_precisions_learn_and_leave_weights_of_32_bits(precision: str) -> None:
    network = layers(4, 8, 2)
    history = train(network, epochs=10, learning_rate=0.05, precision=precision)
    assert history["loss"][-1] < history["loss"][0]
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_gradients_are_clipped_to_the_norm_asked_for() -> None:
    for step in gradients(clip_norm=1e-3):
        assert torch.cat([each.flatten() for each in step]).norm() <= 1e-3 * 1.001


@pytest.mark.parametrize(("name", "norm"), [("l1", 1), ("l2", 2)])
def test_penalties_are_added_to_the_gradients_of_weights_and_not_of_biases(name: str, norm: int) -> None:
    (plain,), (penalised,) = gradients(batch_size=64), gradients(batch_size=64, **{name: 0.1})
    for parameter, before, after in zip(layers(4, 8, 2).parameters(), plain, penalised, strict=True):
        derivative = parameter.sign() if norm == 1 else 2 * parameter
        expected = before + (0.1 * derivative if parameter.ndim > 1 else 0)
        torch.testing.assert_close(after, expected.detach())


def test_penalties_do_not_depend_on_accumulation() -> None:
    large, accumulated = gradients(batch_size=64, l2=0.1), gradients(batch_size=16, accumulate=4, l2=0.1)
    for a, b in zip(large[0], accumulated[0], strict=True):
        torch.testing.assert_close(a, b)


def test_label_smoothing_keeps_a_network_from_being_certain() -> None:
    def certainty(smoothing: float) -> float:
        network, data = layers(4, 16, 2), points()
        train(network, data, epochs=60, learning_rate=0.05, label_smoothing=smoothing)
        with torch.no_grad():
            return float(network(torch.from_numpy(data.inputs["x"])).softmax(1).max(1).values.mean())

    assert certainty(0.0) > 0.97
    assert 0.85 < certainty(0.2) < 0.93  # with two classes, 0.9 is what the targets say


def test_label_smoothing_is_left_out_of_validation() -> None:
    data, network = points(), layers(4, 8, 2)
    history = train(network, data, data, epochs=1, label_smoothing=0.5, keep_best=False)
    logits = network(torch.from_numpy(data.inputs["x"]))
    expected = nn.functional.cross_entropy(logits, torch.from_numpy(data.targets["class"]))
    assert history["validation_loss"][0] == pytest.approx(float(expected.detach()), rel=1e-5)


def test_label_smoothing_is_refused_where_it_means_nothing() -> None:
    with pytest.raises(InvalidInput, match="label_smoothing"):
        train(label_smoothing=0.1, loss="focal")


def test_a_run_ends_with_the_weights_of_its_best_epoch() -> None:
    class Spoil(Callback):
        def on_epoch_begin(self, state: TrainingState) -> None:
            if state.epoch == 3:
                torch.nn.init.zeros_(next(state.network.parameters()))

    data, network = points(), layers(4, 8, 2)
    history = train(network, data, data, epochs=3, monitor="validation_loss", callbacks=[Spoil()])
    assert history.best_epoch == 2
    assert history["validation_loss"][1] < history["validation_loss"][2]
    logits = network(torch.from_numpy(data.inputs["x"]))
    loss = nn.functional.cross_entropy(logits, torch.from_numpy(data.targets["class"]))
    assert float(loss.detach()) == pytest.approx(history["validation_loss"][1], rel=1e-5)


def test_a_run_ends_when_patience_does() -> None:
    history = train(validation=points(seed=1), epochs=50, learning_rate=1e-9, optimizer="sgd", patience=2)
    assert len(history) < 10
    assert history.ended == "no better validation_accuracy for 2 epochs"


def test_of_a_metric_like_f1_the_greatest_is_the_best() -> None:
    history = train(epochs=10, learning_rate=0.02, validation=points(seed=1), monitor="validation_f1")
    assert history.best_epoch is not None
    assert history["validation_f1"][history.best_epoch - 1] == max(history["validation_f1"]) > 0.7


def test_a_figure_that_the_run_does_not_have_cannot_be_monitored() -> None:
    with pytest.raises(InvalidInput, match="validation_accuracy"):
        train(monitor="validation_accuracy")


def test_a_run_that_is_stopped_within_an_epoch_reports_what_it_did() -> None:
    history = train(epochs=5, callbacks=[StopAt(2)])
    assert history.ended == "enough"
    assert len(history) == 1
    assert 0.3 < history["loss"][0] < 1.2  # of 32 rows, not of 64


def test_groups_of_a_custom_optimiser_keep_their_own_rates() -> None:
    def make(groups: Any, rate: float) -> torch.optim.Optimizer:
        first, second = groups
        return torch.optim.SGD([{**first, "lr": rate}, {**second, "lr": rate / 10}], lr=rate)

    class Rates(Callback):
        seen: tuple[float, ...] = ()

        def on_backward_end(self, state: TrainingState) -> None:
            self.seen = tuple(group["lr"] for group in state.optimizer.param_groups)

    rates = Rates()
    train(optimizer=make, schedule="linear", epochs=1, callbacks=[rates])
    assert rates.seen == pytest.approx((0.0025, 0.00025))


def test_augmentation_is_seeded_and_kept_from_the_data() -> None:
    def noise(batch: Batch, random: np.random.Generator) -> Batch:
        x = batch.inputs["x"]
        return Batch({"x": x.add_(torch.from_numpy(random.normal(size=x.shape)))}, batch.targets)

    data = points()
    before = data.inputs["x"].copy()
    losses = [train(data=data, augment=noise)["loss"] for _ in range(2)]
    assert losses[0] == losses[1] != train(data=data)["loss"]
    np.testing.assert_array_equal(before, data.inputs["x"])


def test_a_network_that_changes_its_input_in_place_does_not_change_the_data() -> None:
    data = points()
    before = data.inputs["x"].copy()
    train(nn.Sequential(nn.ReLU(inplace=True), layers(4, 8, 2)), data, data)
    np.testing.assert_array_equal(before, data.inputs["x"])


def test_frozen_weights_stay_as_they_are() -> None:
    network = layers(4, 8, 2)
    first = next(network.parameters()).requires_grad_(False)
    before = first.clone()
    train(network)
    assert torch.equal(before, first)


def test_nothing_to_train_is_said() -> None:
    with pytest.raises(InvalidInput, match="Unfreeze"):
        train(layers(4, 2).requires_grad_(False))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("label_smoothing", 1.0),
        ("precision", "8"),
        ("seed", -1),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=name):
        train(**{name: value})


def test_memory_of_prepared_rows_is_not_shared_with_batches() -> None:
    data = Prepared({"x": np.zeros((4, 2), np.float32)}, {})
    data.batch(slice(0, 2)).inputs["x"].fill_(1)
    assert not data.inputs["x"].any()
