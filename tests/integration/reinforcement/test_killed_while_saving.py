"""An agent whose process is killed in the middle of saving: the file that was there is whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lepton_ai.reinforcement import QLearning
from tests.unit.reinforcement.corridor import FIRST, Corridor

STATES = 200_000  # some megabytes, so that a kill falls into the writing
ROOT = Path(__file__).parents[3]
SAVE_AGAIN_AND_AGAIN = """
import sys
from lepton_ai.reinforcement import QLearning
from tests.unit.reinforcement.corridor import Corridor

agent = QLearning.load(sys.argv[1], environment=Corridor(int(sys.argv[2])))
while True:
    print("saving", flush=True)
    agent.save(sys.argv[1])
"""


@pytest.mark.parametrize("saves", [1, 2, 5])
def test_what_was_saved_before_is_still_there(tmp_path: Path, saves: int) -> None:
    agent = QLearning(Corridor(STATES), initial_value=0.25)
    agent.fit(1)
    path = agent.save(tmp_path / "corridor.agent")
    command = [sys.executable, "-c", SAVE_AGAIN_AND_AGAIN, str(path), str(STATES)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(saves):
            assert child.stdout.readline() == "saving\n"
        child.kill()
    loaded = QLearning.load(path, environment=Corridor(STATES))
    observations = range(FIRST, FIRST + STATES)
    assert (loaded.action_values(observations) == agent.action_values(observations)).all()
