"""Mixup: rows are blended, and every loss is taken to both targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from lepton_ai.datasets.augment import Mixup
from lepton_ai.datasets.batch import Batch
from lepton_ai.errors import InvalidInput
from lepton_ai.training.losses import LOSSES, make_loss
from lepton_ai.training.tasks import Classification

TASK = Classification(("左", "右", "none"))


def mixed() -> Batch:
    batch = Batch({"x": torch.randn(8, 4, generator=torch.Generator().manual_seed(0))}, {"class": torch.arange(8) % 3})
    return Mixup(1.0)(batch, np.random.default_rng(3))


def test_the_loss_is_that_to_soft_targets() -> None:
    batch = mixed()
    assert batch.mixed is not None
    assert 0.5 <= batch.mixed.share < 1
    logits = torch.randn(8, 3)
    own, other = (functional.one_hot(ids["class"], 3) for ids in (batch.targets, batch.mixed.targets))
    soft = batch.mixed.share * own + (1 - batch.mixed.share) * other
    outputs = {"logits": logits}
    assert torch.allclose(make_loss(None, TASK)(outputs, batch), functional.cross_entropy(logits, soft))
    smoothed = make_loss(None, TASK, label_smoothing=0.1)(outputs, batch)
    assert torch.allclose(smoothed, functional.cross_entropy(logits, soft, label_smoothing=0.1))


def test_losses_by_name_see_both_targets() -> None:
    batch = mixed()
    assert batch.mixed is not None
    logits, share = torch.randn(8, 3), batch.mixed.share
    parts = [LOSSES["focal"](logits, ids["class"]) for ids in (batch.targets, batch.mixed.targets)]
    expected = share * parts[0] + (1 - share) * parts[1]
    assert torch.allclose(make_loss("focal", TASK)({"logits": logits}, batch), expected)


def test_rows_and_targets_come_from_the_same_other_row() -> None:
    numbers = torch.arange(6.0)
    batch = Mixup()(Batch({"x": numbers[:, None]}, {"y": numbers}), np.random.default_rng(0))
    assert batch.mixed is not None
    blended = batch.mixed.share * numbers + (1 - batch.mixed.share) * batch.mixed.targets["y"]
    assert torch.allclose(batch.inputs["x"][:, 0], blended, atol=1e-5)


def test_ids_cannot_be_blended_and_nothing_is_mixed_twice() -> None:
    with pytest.raises(InvalidInput, match="tokens: holds ids"):
        Mixup()(Batch({"tokens": torch.zeros(2, 3, dtype=torch.int64)}, {}), np.random.default_rng())
    with pytest.raises(InvalidInput, match="once"):
        Mixup()(mixed(), np.random.default_rng())
