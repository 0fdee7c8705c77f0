"""The GAN: it learns, draws what a seed says, and is served as it samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lepton_ai.datasets import Column, Dataset, Schema, from_rows
from lepton_ai.datasets.ready.pictures import png
from lepton_ai.errors import InvalidInput
from lepton_ai.models import GAN
from tests.unit.models.served import assert_served_alike

PICTURES = Schema((Column("photo", "image"),))
SEEDS = Schema((Column("seed", "number"),))


def bright_left_halves(rows: int = 64) -> Dataset:
    random = np.random.default_rng(0)
    pictures = np.zeros((rows, 8, 8), np.uint8)
    pictures[:, :, :4] = random.integers(200, 256, (rows, 8, 4))
    return from_rows(({"photo": png(each)} for each in pictures), schema=PICTURES)


def trained(epochs: int = 1, **settings: object) -> GAN:
    model = GAN((8, 8, 1), noise=4, width=4)
    model.fit(bright_left_halves(), epochs=epochs, batch_size=16, progress=False, **settings)  # type: ignore[arg-type]
    return model


def test_samples_look_like_the_data() -> None:
    pictures = trained(30, learning_rate=0.005).sample(32).astype(float)
    assert pictures.shape == (32, 8, 8, 1)
    assert pictures[:, :, :4].mean() > pictures[:, :, 4:].mean() + 80


def test_a_seed_decides_the_picture() -> None:
    model = trained()
    assert model.sample(3, seed=5).dtype == np.uint8
    np.testing.assert_array_equal(model.sample(3, seed=5)[1:], model.sample(2, seed=6))
    assert (model.sample(1, seed=5) != model.sample(1, seed=6)).any()
    served = model.predict({"seed": 5}).outputs["picture"]
    np.testing.assert_array_equal(np.rint(served * 255), model.sample(1, seed=5)[0])


def test_it_is_served_as_it_samples(tmp_path: Path) -> None:
    seeds = from_rows(({"seed": float(seed)} for seed in range(16)), schema=SEEDS)
    assert_served_alike(trained(), seeds, tmp_path)


def test_both_networks_learn_and_the_average_follows() -> None:
    before, after = GAN((8, 8, 1), noise=4, width=4).network.state_dict(), trained().network.state_dict()
    for part in ("generator.", "discriminator.", "average."):
        weights = [name for name in before if name.startswith(part) and name.endswith(("weight", "original"))]
        assert weights
        assert all(not torch.equal(before[name], after[name]) for name in weights)


def test_figures_of_both_networks_are_there() -> None:
    model = trained(2)
    assert {"loss", "discriminator_loss", "fooled"} <= set(model.history.names)
    loss, fooled = model.evaluate(bright_left_halves())
    assert loss > 0
    assert 0 <= fooled <= 1


def test_a_run_in_two_parts_is_the_run_in_one(tmp_path: Path) -> None:
    whole = trained(3)
    trained(2, checkpoint=tmp_path)
    resumed = trained(3, checkpoint=tmp_path)
    for name in ("loss", "discriminator_loss"):
        assert resumed.history[name] == whole.history[name]
    np.testing.assert_array_equal(resumed.sample(2), whole.sample(2))


def test_mistakes_are_named() -> None:
    with pytest.raises(InvalidInput, match="input_shape"):
        GAN((30, 30, 1))
    with pytest.raises(InvalidInput, match="validation"):
        GAN((8, 8, 1)).fit(bright_left_halves(), validation=0.1)
    with pytest.raises(InvalidInput, match="accumulate"):
        trained(accumulate=2)
    with pytest.raises(InvalidInput, match="seed"):
        trained().predict({"seed": 0.5})
