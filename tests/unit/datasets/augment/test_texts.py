"""Augmentation of ids of tokens."""

from __future__ import annotations

import numpy as np
import torch

from lepton_ai.datasets.augment import TokenDropout, TokenSwap, make_augment
from lepton_ai.datasets.batch import Batch

IDS = torch.tensor([[2, 11, 12, 13, 14, 15, 16, 0, 0], [2, 21, 0, 0, 0, 0, 0, 0, 0], [0] * 9])


def batch() -> Batch:
    return Batch({"tokens": IDS, "mask": (IDS != 0).to(torch.int64)}, {})


def test_dropped_tokens_become_unknown_and_padding_stays() -> None:
    random = np.random.default_rng(0)
    seen = torch.stack([TokenDropout(0.3, keep=(2,))(batch(), random).inputs["tokens"] for _ in range(200)])
    assert bool(((seen == IDS) | (seen == 1)).all())
    assert bool((seen[:, IDS == 0] == 0).all())
    assert bool((seen[:, :, 0] == IDS[:, 0]).all())
    assert abs(float((seen[:, 0, 1:7] == 1).float().mean()) - 0.3) < 0.05
    assert bool((seen[:, 1, 1] == 21).all()), "the only token of a text stays"


def test_neighbours_change_places_and_nothing_is_lost() -> None:
    random = np.random.default_rng(0)
    seen = torch.stack([TokenSwap(0.5, keep=(2,))(batch(), random).inputs["tokens"] for _ in range(100)])
    assert torch.equal(seen.sort(dim=2).values, IDS.sort(dim=1).values.expand_as(seen))
    assert bool((seen[:, IDS == 0] == 0).all())
    assert bool((seen[:, 0, 0] == 2).all())
    places = (seen[:, 0, 1:7] - 11 - torch.arange(6)).abs()
    assert set(places.flatten().tolist()) == {0, 1}


def test_masks_stay_and_the_seed_decides() -> None:
    augment = make_augment("texts")
    assert augment is not None
    first, second = (augment(batch(), np.random.default_rng(4)) for _ in range(2))
    assert torch.equal(first.inputs["tokens"], second.inputs["tokens"])
    assert torch.equal(first.inputs["mask"], batch().inputs["mask"])
