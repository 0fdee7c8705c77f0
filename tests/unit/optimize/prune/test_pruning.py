"""Channels that go, weights at zero, and what is left of the network's skill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.models import CNN
from lepton_ai.models.model import Model
from lepton_ai.optimize.measure.cpu import this_cpu
from lepton_ai.optimize.measure.engines import open_onnx
from lepton_ai.optimize.methods import Workpiece
from lepton_ai.optimize.prune.channels import cut_channels, prune_channels
from lepton_ai.optimize.prune.sparse_file import store_sparse
from lepton_ai.optimize.prune.weights import Sparsity, large_weights, prune_weights
from lepton_ai.optimize.rows import Rows
from tests.sample_packages import onnx_bytes
from tests.unit.optimize.small import stripes, trained

PIECE = Workpiece(Rows({}), this_cpu(), 0.005, stripes())


def weights(model: Model) -> int:
    return sum(parameter.numel() for parameter in model.network.parameters())


def test_half_of_the_channels_leave_a_quarter_of_the_weights_and_the_skill(tmp_path: Path) -> None:
    original = trained()
    before = {name: tensor.clone() for name, tensor in original.state_dict().items()}
    pruned = prune_channels(original, PIECE, {"share": 0.5, "epochs": 8})
    assert weights(pruned) < 0.35 * weights(original)
    assert pruned.evaluate(stripes(seed=1)).metrics["accuracy"] >= 0.97
    assert all(torch.equal(before[name], tensor) for name, tensor in original.state_dict().items())
    again = CNN.load(pruned.save(tmp_path / "pruned.pth"))
    assert np.array_equal(again.predict_proba(stripes()[:5]), pruned.predict_proba(stripes()[:5]))


def test_a_network_that_cannot_be_followed_is_refused() -> None:
    class Odd(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no way through")

    with pytest.raises(InvalidInput, match="cannot be pruned: no way"):
        cut_channels(nn.Sequential(nn.Conv2d(1, 8, 3), Odd()), [torch.zeros(2, 1, 8, 8)], share=0.5)


def test_weights_are_zero_and_stay_so_and_take_no_room(tmp_path: Path) -> None:
    pruned = prune_weights(trained(), PIECE, {"share": 0.9, "epochs": 6})
    large = large_weights(pruned.network).values()
    zeros = sum(int((weight == 0).sum()) for weight in large) / sum(weight.numel() for weight in large)
    assert zeros == pytest.approx(0.9, abs=0.01)
    assert pruned.evaluate(stripes(seed=1)).metrics["accuracy"] >= 0.97
    plain, sparse = pruned.to_onnx(tmp_path / "plain.onnx"), tmp_path / "sparse.onnx"
    store_sparse(plain, sparse, PIECE, {})
    assert sparse.stat().st_size < 0.5 * plain.stat().st_size
    onnx.checker.check_model(str(sparse))
    rows = {"image": np.random.default_rng(0).integers(0, 255, (4, 12, 12), dtype=np.uint8)}
    assert np.array_equal(*(open_onnx(path, threads=1)(rows)[0] for path in (plain, sparse)))


def test_the_share_of_zeros_grows_fast_at_first_and_then_slowly() -> None:
    shares = [Sparsity(0.8).share_at(progress) for progress in (0.0, 0.5, 1.0, 2.0)]
    assert shares == pytest.approx([0.0, 0.7, 0.8, 0.8])


def test_full_weights_are_not_stored_as_sparse_ones(tmp_path: Path) -> None:
    (tmp_path / "full.onnx").write_bytes(onnx_bytes())
    with pytest.raises(InvalidInput, match="sparse"):
        store_sparse(tmp_path / "full.onnx", tmp_path / "out.onnx", PIECE, {})


def test_without_rows_nothing_is_trained() -> None:
    with pytest.raises(FailedPrecondition, match="no rows"):
        prune_weights(trained(), Workpiece(Rows({}), this_cpu(), 0.005), {})


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_a_share_is_between_zero_and_one(share: float) -> None:
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        prune_channels(trained(), PIECE, {"share": share})
