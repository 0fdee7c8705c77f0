"""Augmentation of pictures: what changes, what stays, and that the seed decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lepton_ai.datasets.augment import Colour, Cutout, Flip, Mixup, RandomCrop, Rotate, Scale, make_augment
from lepton_ai.datasets.augment.warp import Matrices, Warp
from lepton_ai.datasets.batch import Augment, Batch
from lepton_ai.errors import InvalidInput

EVERY = [Flip(0.5, 0.5), RandomCrop(3), RandomCrop(0.1), Rotate(20), Scale(0.3), Colour(0.3), Cutout(0.3), Mixup()]


def pictures(rows: int = 6, *, channels: int = 3, seed: int = 0) -> Batch:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (rows, 20, 16, channels), dtype=np.uint8)
    return Batch({"image": torch.from_numpy(pixels)}, {"class": torch.arange(rows) % 2})


def vary(augment: Augment, batch: Batch, *, seed: int = 0) -> torch.Tensor:
    return augment(batch, np.random.default_rng(seed)).inputs["image"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("augment", EVERY, ids=str)
def test_the_seed_alone_decides_and_only_the_pictures_change(augment: Augment, channels: int) -> None:
    batch = pictures(channels=channels)
    before = batch.inputs["image"].clone()
    torch.manual_seed(1)
    varied = augment(batch, np.random.default_rng(7))
    torch.manual_seed(2)
    assert torch.equal(varied.inputs["image"], vary(augment, batch, seed=7))
    assert not torch.equal(varied.inputs["image"], vary(augment, batch, seed=8))
    assert varied.inputs["image"].dtype == torch.uint8
    assert varied.inputs["image"].shape == before.shape
    assert torch.equal(batch.inputs["image"], before)
    assert torch.equal(varied.targets["class"], batch.targets["class"])


@pytest.mark.parametrize("augment", [Flip(), RandomCrop(3), Rotate(20), Colour(0.3), Cutout(0.5), Mixup()], ids=str)
def test_pictures_of_floats_with_channels_in_front_are_varied_as_well(augment: Augment) -> None:
    bytes_behind = pictures()
    pixels = bytes_behind.inputs["image"].permute(0, 3, 1, 2).to(torch.float32).contiguous() / 255
    varied = vary(augment, Batch({"image": pixels}, {}), seed=3)
    assert varied.dtype == torch.float32
    assert varied.shape == pixels.shape
    assert not torch.equal(varied, pixels)
    if not isinstance(augment, Cutout | Mixup):
        expected = vary(augment, bytes_behind, seed=3).permute(0, 3, 1, 2).to(torch.float32) / 255
        assert torch.allclose(varied, expected, atol=0.5 / 255 + 1e-5)


def test_a_flip_mirrors_a_share_of_the_pictures() -> None:
    batch = pictures(rows=400)
    before, varied = batch.inputs["image"], vary(Flip(0.25), batch)
    mirrored = (varied == before.flip(2)).flatten(1).all(1)
    same = (varied == before).flatten(1).all(1)
    assert bool((mirrored | same).all())
    assert 60 < int(mirrored.sum()) < 140


def test_a_crop_moves_the_picture_and_repeats_its_border() -> None:
    ramp = torch.arange(16, dtype=torch.uint8).view(1, 1, 16, 1).expand(200, 20, 16, 1).contiguous()
    varied = vary(RandomCrop(2), Batch({"image": ramp}, {}))
    moves = {tuple(row.flatten().tolist()) for row in varied[:, 0]}
    assert moves == {tuple(min(max(place + move, 0), 15) for place in range(16)) for move in range(-2, 3)}


def test_a_turn_of_a_quarter_is_exact_and_scaling_keeps_the_middle() -> None:
    square = torch.zeros(1, 9, 9, 1, dtype=torch.uint8)
    square[0, 4, 7], square[0, 4, 4] = 200, 100
    quarter = np.array([[[0.0, -1.0], [1.0, 0.0]]])

    class Quarter:
        def matrices(self, rows: int, random: np.random.Generator) -> Matrices:
            return quarter

    turned = vary(Warp((Quarter(),)), Batch({"image": square}, {}))
    assert {tuple(place) for place in turned.nonzero()[:, 1:3].tolist()} in ({(4, 4), (1, 4)}, {(4, 4), (7, 4)})
    assert vary(Scale(0.5), Batch({"image": square}, {}))[0, 4, 4, 0] == 100


def test_changes_of_shape_in_a_row_are_one_resampling() -> None:
    batch = pictures()
    both = vary(make_augment([Rotate(0), Scale(0), Flip(0)]) or Flip(0), batch)
    assert torch.equal(both, batch.inputs["image"])
    joined = vary(make_augment([Rotate(15), Scale(0.2)]) or Flip(0), batch, seed=5)
    random = np.random.default_rng(5)
    apart = Scale(0.2)(Rotate(15)(batch, random), random).inputs["image"]
    inner = (slice(None), slice(6, 14), slice(5, 11))
    assert not torch.equal(joined, apart)
    smooth = torch.full((6, 20, 16, 3), 80, dtype=torch.uint8)
    assert torch.equal(vary(Rotate(15), Batch({"image": smooth}, {}))[inner], smooth[inner])


def test_colours_keep_hues_of_grey_and_stay_within_bytes() -> None:
    grey = torch.full((8, 4, 4, 3), 90, dtype=torch.uint8)
    varied = vary(Colour(0.4), Batch({"image": grey}, {}))
    assert bool((varied == varied[..., :1]).all())
    assert varied.float().std(dim=0).max() > 0
    assert torch.equal(vary(Colour(0.0), pictures()), pictures().inputs["image"])
    with pytest.raises(InvalidInput, match="as normalised ones do"):
        vary(Colour(), Batch({"image": torch.randn(2, 4, 4, 3)}, {}))


@pytest.mark.parametrize("white", [1, 255])
@pytest.mark.parametrize("channels", [1, 3])
def test_colours_of_floats_vary_as_those_of_bytes(white: int, channels: int) -> None:
    of_bytes = pictures(channels=channels)
    pixels = of_bytes.inputs["image"].to(torch.float32) * (white / 255)
    before = pixels.clone()
    varied = vary(Colour(0.4), Batch({"image": pixels}, {}), seed=3)
    expected = vary(Colour(0.4), of_bytes, seed=3).to(torch.float32) * (white / 255)
    torch.testing.assert_close(varied, expected, atol=0.51 * white / 255, rtol=0)
    assert torch.equal(pixels, before)


def test_a_cutout_blanks_one_square() -> None:
    white = torch.full((50, 20, 16, 3), 255, dtype=torch.uint8)
    blank = (vary(Cutout(0.25), Batch({"image": white}, {})) == 127).all(dim=3).flatten(1).sum(1)
    assert int(blank.max()) == 16
    assert int(blank.min()) >= 4


def test_what_makes_no_sense_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"for pictures; the network's inputs are tokens torch\.int64"):
        vary(Flip(), Batch({"tokens": torch.zeros(2, 3, dtype=torch.int64)}, {}))
    with pytest.raises(InvalidInput, match="horizontal: is 2"):
        Flip(2)
    with pytest.raises(InvalidInput, match="padding"):
        RandomCrop(1.5)
