"""Augmentation of log-mel spectrograms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lepton_ai.datasets.augment import FrequencyMask, Noise, Shift, TimeMask
from lepton_ai.datasets.batch import Batch

SOUNDS = torch.randn(40, 10, 30, generator=torch.Generator().manual_seed(0))


def vary(augment: Noise | Shift | TimeMask | FrequencyMask, sounds: Tensor = SOUNDS, *, seed: int = 0) -> Tensor:
    return augment(Batch({"sound": sounds}, {}), np.random.default_rng(seed)).inputs["sound"]


@pytest.mark.parametrize("augment", [Noise(), Shift(0.2), TimeMask(), FrequencyMask(count=2)], ids=str)
def test_the_seed_alone_decides(augment: Noise | Shift | TimeMask | FrequencyMask) -> None:
    assert torch.equal(vary(augment), vary(augment))
    assert not torch.equal(vary(augment), vary(augment, seed=1))
    assert vary(augment).dtype == torch.float32


def test_noise_of_so_many_decibels_is_added_to_the_power() -> None:
    loud_and_silent = torch.full((4, 10, 30), -20.0)
    loud_and_silent[:, :5] = 0.0
    varied = vary(Noise(20, 20), loud_and_silent)
    mean_power = 10 * np.log10(0.5)
    noise_db = 10 / np.log(10) * varied[:, 5:].mean()
    assert noise_db == pytest.approx(mean_power - 20, abs=0.5)
    assert torch.allclose(varied[:, :5], loud_and_silent[:, :5], atol=0.1)


def test_a_shift_moves_a_sound_and_lets_quiet_in() -> None:
    ramp = torch.arange(30.0).expand(40, 10, 30)
    varied = vary(Shift(0.1), ramp)
    for row in varied:
        move = int((row[0, 15] - 15).item())
        assert -3 <= move <= 3
        kept = range(max(0, -move), min(30, 30 - move))
        assert row[0].tolist() == [place + move if place in kept else 0 for place in range(30)]


@pytest.mark.parametrize(("augment", "axis"), [(TimeMask(0.2), 2), (FrequencyMask(0.2), 1)], ids=str)
def test_a_mask_blanks_one_stretch(augment: TimeMask | FrequencyMask, axis: int) -> None:
    changed = (vary(augment) != SOUNDS).all(dim=3 - axis)
    most = round(0.2 * SOUNDS.shape[axis])
    assert int(changed.sum(dim=1).max()) == most
    edges = changed.to(torch.int8).diff(dim=1).abs().sum(dim=1)
    assert int(edges.max()) == 2
