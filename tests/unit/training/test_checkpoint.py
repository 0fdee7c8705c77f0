"""A run that ended early goes on as if it had not, and another run's state is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lepton_ai.errors import DataLoss, FailedPrecondition
from lepton_ai.training.callbacks import Callback, TrainingState
from lepton_ai.training.history import History
from tests.unit.training.runs import layers, points, train


class KilledError(Exception):
    """Stands for a kill."""


class KillAt(Callback):
    def __init__(self, step: int) -> None:
        self._step = step

    def on_backward_end(self, state: TrainingState) -> None:
        if state.step == self._step:
            raise KilledError


class Losses(Callback):
    def __init__(self) -> None:
        self.seen: dict[int, float] = {}

    def on_batch_end(self, state: TrainingState) -> None:
        self.seen[state.step] = state.loss


def run(directory: Path | None, *callbacks: Callback, **settings: Any) -> tuple[History, nn.Module]:
    network = nn.Sequential(layers(4, 8, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), layers(8, 2, seed=1))
    options = {"epochs": 4, "schedule": "cosine", "checkpoint": directory, "checkpoint_steps": 1, **settings}
    return train(network, points(), points(seed=1), callbacks=callbacks, **options), network


@pytest.mark.parametrize("optimizer", ["adamw", "momentum", "rmsprop", "sgd", "nadam"])
def test_a_run_that_goes_on_has_the_losses_and_weights_of_one_that_was_not_interrupted(
    tmp_path: Path, optimizer: str
) -> None:
    whole, parts = Losses(), Losses()
    history, network = run(None, whole, optimizer=optimizer)
    for step in (2, 6, 11):
        with pytest.raises(KilledError):
            run(tmp_path, parts, KillAt(step), optimizer=optimizer)
    resumed, other = run(tmp_path, parts, optimizer=optimizer)
    assert parts.seen == whole.seen
    assert resumed["loss"] == history["loss"]
    assert resumed["validation_loss"] == history["validation_loss"]
    assert resumed.best_epoch == history.best_epoch
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_a_finished_run_is_not_run_again_and_more_epochs_are_added_to_it(tmp_path: Path) -> None:
    run(tmp_path, epochs=2, schedule="constant")
    again, _ = run(tmp_path, KillAt(0), epochs=2, schedule="constant")
    assert len(again) == 2
    more, _ = run(tmp_path, epochs=4, schedule="constant")
    assert more["loss"] == run(None, schedule="constant")[0]["loss"]


def test_a_run_that_patience_ended_stays_ended(tmp_path: Path) -> None:
    options = {"patience": 1, "optimizer": "sgd", "learning_rate": 1e-9, "epochs": 9}
    ended, _ = run(tmp_path, **options)
    again, _ = run(tmp_path, **options)
    assert len(again) == len(ended) < 9
    assert again.ended == ended.ended


def test_another_runs_state_is_refused_with_the_difference(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(FailedPrecondition, match="batch_size was 16 and is 8"):
        run(tmp_path, batch_size=8)


def test_a_damaged_state_is_called_so(tmp_path: Path) -> None:
    run(tmp_path)
    (state,) = tmp_path.iterdir()
    state.write_bytes(state.read_bytes()[:-200])
    with pytest.raises(DataLoss):
        run(tmp_path)


def test_what_a_killed_save_left_behind_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".training.lepton.abc.part").write_bytes(b"half")
    run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["training.lepton"]


def test_a_loss_that_is_not_a_number_can_be_saved(tmp_path: Path) -> None:
    history, _ = run(
        tmp_path, learning_rate=900.0, optimizer="sgd", loss=lambda output, target: output.sum() * torch.nan
    )
    assert (tmp_path / "training.lepton").is_file()
    assert all(loss != loss for loss in history["loss"])


def test_callbacks_get_their_own_state_back_when_others_come_and_go(tmp_path: Path) -> None:
    class Count(Callback):
        total = 0

        def on_epoch_end(self, state: TrainingState) -> None:
            self.total += 1

        def document(self) -> dict[str, Any]:
            return {"total": self.total}

        def restore(self, document: dict[str, Any], tensors: dict[str, Tensor]) -> None:
            self.total = document["total"]

    with pytest.raises(KilledError):
        run(tmp_path, Losses(), Count(), KillAt(9))
    count = Count()
    run(tmp_path, count)
    assert count.total == 4
