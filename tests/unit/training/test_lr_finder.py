"""The learning rate finder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lepton_ai.errors import InvalidInput
from lepton_ai.models import MLP
from lepton_ai.training.loop import Material
from lepton_ai.training.lr_finder import LearningRateCurve, find_learning_rate
from lepton_ai.training.settings import FitSettings
from tests.unit.training.runs import CLASSES, layers, points, train
from tests.unit.training.tables import table


def search(**settings: object) -> LearningRateCurve:
    chosen = FitSettings(**{"batch_size": 16, **settings})  # type: ignore[arg-type]
    return find_learning_rate(layers(4, 32, 2), CLASSES, Material(points(256)), chosen)


def test_the_suggestion_trains_much_better_than_a_hundredth_of_it() -> None:
    def loss(rate: float) -> float:
        return train(layers(4, 32, 2), points(256), epochs=3, learning_rate=rate)["loss"][-1]

    suggestion = search().suggestion
    assert 1e-4 < suggestion < 1
    assert loss(suggestion) < 0.7 * loss(suggestion / 100)


def test_the_curve_rises_from_its_lowest_point_and_ends_there() -> None:
    curve = search(optimizer="sgd", clip_norm=None)
    assert curve.rates == tuple(sorted(curve.rates))
    assert curve.rates[0] == pytest.approx(1e-7)
    assert min(curve.losses) < curve.losses[0]
    assert len(curve.rates) == len(curve.losses) <= 100


def test_the_curve_is_drawn(tmp_path: Path) -> None:
    search().plot(tmp_path / "学习率.png")
    assert (tmp_path / "学习率.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_data_give_the_same_curve() -> None:
    assert search() == search()


def test_a_model_that_is_not_trained_stays_so() -> None:
    model = MLP([8])
    model.find_learning_rate(table(), steps=30)
    assert model.pipeline is None
    assert model.task is None
    assert not model.history.epochs


def test_a_trained_model_keeps_its_weights() -> None:
    model = MLP([8])
    model.fit(table(), epochs=1, progress=False)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    curve = model.find_learning_rate(table(), steps=30)
    assert curve.suggestion > 0
    assert all(torch.equal(before[name], tensor) for name, tensor in model.network.state_dict().items())


def test_settings_that_do_not_exist_are_refused() -> None:
    with pytest.raises(InvalidInput, match="batch_size"):
        MLP([8]).find_learning_rate(table(), batchsize=3)
