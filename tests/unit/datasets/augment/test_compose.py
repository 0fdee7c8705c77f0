"""Presets, lists and single augmentations, as `fit(augment=…)` takes them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lepton_ai.datasets.augment import PRESETS, Colour, Flip, make_augment
from lepton_ai.datasets.batch import Batch
from lepton_ai.errors import InvalidInput

BATCHES = {
    "images": Batch({"x": torch.randint(0, 256, (4, 24, 24, 3), dtype=torch.uint8)}, {}),
    "characters": Batch({"x": torch.randint(0, 256, (4, 24, 24, 1), dtype=torch.uint8)}, {}),
    "texts": Batch({"x": torch.randint(2, 99, (4, 50))}, {}),
    "sounds": Batch({"x": torch.randn(4, 40, 60)}, {}),
    "tables": Batch({"x": torch.randn(4, 9)}, {}),
}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_varies_its_kind_of_data_by_the_seed(name: str) -> None:
    augment = make_augment(name)
    assert augment is not None
    seen = [augment(BATCHES[name], np.random.default_rng(seed)).inputs["x"] for seed in (0, 0, 1)]
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


def test_none_and_nothing_are_no_augmentation() -> None:
    assert make_augment(None) is None
    assert make_augment([]) is None


def test_functions_are_taken_and_what_they_may_not_change_is_checked() -> None:
    def halved(batch: Batch, random: np.random.Generator) -> Batch:
        return replace(batch, inputs={"x": batch.inputs["x"][:2]})

    augment = make_augment([Flip(), halved])
    assert augment is not None
    with pytest.raises(InvalidInput, match="numbers of rows"):
        augment(BATCHES["images"], np.random.default_rng())


@pytest.mark.parametrize(
    ("wanted", "message"),
    [("photos", "no preset 'photos'"), ([Flip(), 3], "3 does not change batches"), ([Colour], r"Write Colour\(\)")],
)
def test_what_is_no_augmentation_is_refused(wanted: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make_augment(wanted)  # type: ignore[arg-type]
