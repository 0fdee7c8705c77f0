"""Layers in parts: exact at full rank, nearest below it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from lepton_ai.errors import InvalidInput
from lepton_ai.models.structure.changes import RESIZED, change_structure, split_layer, take_sizes
from lepton_ai.models.structure.layers import split_branches, split_cp, split_dense, split_depthwise, split_tucker


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_a_dense_layer_of_full_rank_stays_the_same() -> None:
    layer, rows = nn.Linear(6, 4), torch.randn(5, 6)
    torch.testing.assert_close(split_dense(layer, 4)(rows), layer(rows), rtol=1e-4, atol=1e-5)


def test_the_error_of_a_low_rank_is_what_singular_values_leave_out() -> None:
    layer = nn.Linear(16, 12, bias=False)
    first, second = (part.get_parameter("weight") for part in split_dense(layer, 5))
    left_out = torch.linalg.svdvals(layer.weight)[5:]
    error = torch.linalg.matrix_norm(layer.weight - second @ first)
    torch.testing.assert_close(error, left_out.square().sum().sqrt(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"stride": 2, "padding": 1}, {"dilation": 2, "bias": False}], ids=str)
def test_a_convolution_of_full_rank_stays_the_same(settings: dict[str, Any]) -> None:
    layer, pictures = nn.Conv2d(4, 6, 3, **settings), torch.randn(2, 4, 9, 9)
    torch.testing.assert_close(split_tucker(layer, 4, 6)(pictures), layer(pictures), rtol=1e-4, atol=1e-5)


def test_a_separable_convolution_is_separated_exactly() -> None:
    layer, pictures = nn.Conv2d(3, 5, 3, padding=1), torch.randn(2, 3, 7, 7)
    apart, across = torch.randn(1, 3, 3, 3), torch.randn(5, 3, 1, 1)
    with torch.no_grad():
        layer.weight.copy_(apart * across)
    parts = split_depthwise(layer)
    torch.testing.assert_close(parts(pictures), layer(pictures), rtol=1e-4, atol=1e-5)
    assert sum(each.numel() for each in parts.parameters()) < 0.5 * sum(each.numel() for each in layer.parameters())


def test_filters_that_are_sums_of_products_are_parted_into_those() -> None:
    layer, pictures = nn.Conv2d(6, 8, 3, padding=1, bias=False), torch.randn(2, 6, 7, 7)
    outputs, inputs, pixels = torch.randn(8, 2), torch.randn(6, 2), torch.randn(9, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.einsum("or,ir,pr->oip", outputs, inputs, pixels).reshape(8, 6, 3, 3))
    torch.testing.assert_close(split_cp(layer, 3)(pictures), layer(pictures), rtol=0.02, atol=0.05)


def test_branches_do_not_see_each_others_channels() -> None:
    layer, pictures = nn.Conv2d(4, 6, 3, stride=2), torch.randn(2, 4, 9, 9)
    with torch.no_grad():  # a layer that is two branches already
        layer.weight[:3, 2:] = 0
        layer.weight[3:, :2] = 0
    parts = split_branches(layer, 2)
    torch.testing.assert_close(parts(pictures), layer(pictures), rtol=1e-4, atol=1e-5)
    assert sum(each.numel() for each in parts.parameters()) == 6 * 2 * 9 + 6


def test_changes_are_done_again_for_saved_weights() -> None:
    def fresh() -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 36, 4))

    network = fresh()
    changes = [split_layer(network, "3", "dense", [2])]
    again = fresh()
    change_structure(again, changes, network.state_dict())
    again.load_state_dict(network.state_dict())
    pictures = torch.randn(2, 1, 8, 8)
    assert torch.equal(again.eval()(pictures), network.eval()(pictures))


def test_layers_become_as_wide_as_their_weights() -> None:
    narrow = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1))
    wide = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1))
    take_sizes(wide, narrow.state_dict())
    wide.load_state_dict(narrow.state_dict())
    pictures = torch.randn(2, 1, 8, 8)
    assert torch.equal(wide.eval()(pictures), narrow.eval()(pictures))
    assert "Conv2d(1, 3," in str(wide) and "BatchNorm2d(3," in str(wide) and "Conv2d(3, 2," in str(wide)


def test_an_unknown_change_is_refused() -> None:
    with pytest.raises(InvalidInput, match="does not know"):
        change_structure(nn.Sequential(), [RESIZED, {"kind": "folded"}], {})
