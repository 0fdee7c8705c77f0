"""Layers in parts, trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.models import CNN, MLP
from lepton_ai.models.data import as_dataset
from lepton_ai.optimize.decompose.decomposition import decompose
from lepton_ai.optimize.measure.cpu import this_cpu
from lepton_ai.optimize.methods import Workpiece
from lepton_ai.optimize.rows import Rows
from tests.unit.optimize.prune.test_pruning import weights
from tests.unit.optimize.small import stripes, trained

PIECE = Workpiece(Rows({}), this_cpu(), 0.005, stripes())


@pytest.mark.parametrize(("kind", "most"), [("tucker", 0.8), ("cp", 0.8), ("depthwise", 0.4), ("branches", 0.7)])
def test_convolutions_in_parts_are_smaller_and_as_good(kind: str, most: float, tmp_path: Path) -> None:
    changed = decompose(trained(), PIECE, {"kind": kind, "energy": 0.8, "epochs": 4})
    assert weights(changed) < most * weights(trained())
    assert changed.evaluate(stripes(seed=1)).metrics["accuracy"] >= 0.97
    again = CNN.load(changed.save(tmp_path / "changed.pth"))
    assert np.array_equal(again.predict_proba(stripes()[:5]), changed.predict_proba(stripes()[:5]))


def test_dense_layers_in_parts_are_smaller_and_as_good() -> None:
    generator = np.random.default_rng(0)
    numbers = generator.normal(size=(400, 6)).astype(np.float32)
    rows = as_dataset(numbers, (numbers[:, 0] > numbers[:, 1]).astype(int).astype(str).tolist())
    model = MLP(hidden=(64, 64))
    model.fit(rows, epochs=5, progress=False, doctor=False)
    changed = decompose(model, Workpiece(Rows({}), this_cpu(), 0.005, rows), {"energy": 0.6, "epochs": 2})
    assert weights(changed) < 0.8 * weights(model)
    assert changed.evaluate(rows).metrics["accuracy"] > model.evaluate(rows).metrics["accuracy"] - 0.03


def test_a_model_without_such_layers_is_refused() -> None:
    with pytest.raises(InvalidInput, match="No layer"):
        decompose(trained(), PIECE, {"kind": "dense", "energy": 1.0})
    with pytest.raises(InvalidInput, match="dense, tucker, cp, depthwise"):
        decompose(trained(), PIECE, {"kind": "fourier"})
