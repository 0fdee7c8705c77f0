"""The part of docs/models.md that needs a platform: from a saved model to one that answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lepton_ai.models import MLP
from tests.e2e.test_readme import run_program
from tests.platform import Platform
from tests.unit.models.test_document import DEPLOYING


def test_a_saved_model_of_arrays_is_served(platform: Platform, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 4))
    model = MLP((8,))
    model.fit(x, np.where(x[:, 0] > 0, "猫", "狗"), epochs=2, progress=False)
    model.save(tmp_path / "animals.pth")
    setup = "import lepton_ai as la\nimport numpy as np\nx = np.random.default_rng(0).normal(size=(60, 4))\n"
    setup += "y = np.where(x[:, 0] > 0, '猫', '狗')\n"
    (program,) = DEPLOYING
    printed = run_program(platform, tmp_path, setup + program)
    assert "猫" in printed
    assert "狗" in printed
    assert platform.lepton("undeploy", "animals").returncode == 0
