"""Models of arrays on a platform: what docs/models.md deploys, and arrays of floats of any width."""

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


FLOATS = """
import lepton_ai as la
import numpy as np
import torch

x = np.random.default_rng(0).normal(size=(60, 4))
model = la.wrap(torch.nn.Linear(4, 2))
model.fit(x, np.where(x[:, 0] > 0, "猫", "狗"), epochs=2, progress=False)
la.deploy(model, name="floats")
client = la.Client()
print(sum(len(prediction.labels) for prediction in client.predict_batch("floats", list(x[:3])).predictions))
said = {client.predict("floats", x[0].astype(dtype)).labels[0].name for dtype in (np.float64, np.float32)}
print(said == {model.predict(x[0]).labels[0].name})
"""


def test_a_client_may_send_floats_of_the_width_that_numpy_makes(platform: Platform, tmp_path: Path) -> None:
    assert run_program(platform, tmp_path, FLOATS).split()[-2:] == ["6", "True"]
    assert platform.lepton("undeploy", "floats").returncode == 0
