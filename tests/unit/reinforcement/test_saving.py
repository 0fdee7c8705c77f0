"""An agent's file: one zip without pickles, written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from safetensors.torch import load as load_tensors

import lepton_ai
from lepton_ai.archive import Archive
from lepton_ai.errors import DataLoss, InvalidInput, NotFound, ResourceExhausted
from lepton_ai.reinforcement import DQN, Agent, QLearning, Sarsa, load
from tests.unit.reinforcement.corridor import FIRST, RIGHT, Corridor


@pytest.fixture
def lake() -> QLearning:
    agent = QLearning("FrozenLake-v1", gamma=0.9, is_slippery=False)
    agent.fit(200, seed=0)
    return agent


def test_what_is_loaded_is_what_was_saved(lake: QLearning, tmp_path: Path) -> None:
    loaded = QLearning.load(lake.save(tmp_path / "湖.agent"))
    assert (loaded.action_values(range(16)) == lake.action_values(range(16))).all()
    assert (loaded.settings, loaded.history) == (lake.settings, lake.history)
    assert loaded.recipe == lake.recipe
    assert loaded.action_names == ("left", "down", "right", "up")
    assert loaded.evaluate(5) == lake.evaluate(5)


def test_a_network_comes_back_too(tmp_path: Path) -> None:
    agent = DQN("CartPole-v1", hidden=(8, 4), warmup_steps=10)
    agent.fit(steps=50, seed=0)
    loaded = Agent.load(agent.save(tmp_path / "pole.agent"))
    observations = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    assert isinstance(loaded, DQN)
    assert (loaded.action_values(observations) == agent.action_values(observations)).all()


def test_a_loaded_agent_learns_on(lake: QLearning, tmp_path: Path) -> None:
    loaded = QLearning.load(lake.save(tmp_path / "lake.agent"))
    for agent in (lake, loaded):
        agent.fit(50, seed=1)
    assert (loaded.action_values(range(16)) == lake.action_values(range(16))).all()
    assert len(loaded.history) == 250


def test_the_file_holds_json_and_safetensors_only(lake: QLearning, tmp_path: Path) -> None:
    with zipfile.ZipFile(lake.save(tmp_path / "lake.agent")) as archive:
        document, weights = sorted(archive.namelist())
        assert json.loads(archive.read(document))["class"] == "QLearning"
        assert load_tensors(archive.read(weights))["table"].shape == (16, 4)


def test_a_pickle_is_refused_unread(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "sprung",)  # type: ignore[return-value]

    (tmp_path / "trap.agent").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InvalidInput, match=r"trap\.agent"):
        Agent.load(tmp_path / "trap.agent")
    assert not (tmp_path / "sprung").exists()


def test_a_full_disk_leaves_the_old_file_as_it_was(
    lake: QLearning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lake.save(tmp_path / "lake.agent")
    before = path.read_bytes()
    lake.fit(10, seed=2)

    def full(descriptor: int) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(ResourceExhausted, match="disk is full"):
        patched.setattr(os, "fsync", full)
        lake.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_a_cut_and_another_file_are_told_apart(lake: QLearning, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Agent.load(tmp_path / "nothing.agent")
    whole = lake.save(tmp_path / "lake.agent").read_bytes()
    (tmp_path / "cut.agent").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataLoss):
        Agent.load(tmp_path / "cut.agent")
    Archive("model", {}, {}, {}).write(tmp_path / "other.zip")
    with pytest.raises(InvalidInput, match="agent"):
        Agent.load(tmp_path / "other.zip")


def test_what_reads_models_reads_agents_too(lake: QLearning, tmp_path: Path) -> None:
    path = lake.save(tmp_path / "lake.agent")
    for loaded in (lepton_ai.load(path), load(path)):
        assert isinstance(loaded, QLearning) and loaded.predict(0) == lake.predict(0)


def test_an_agent_of_another_kind_is_refused(lake: QLearning, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="was saved by QLearning, not by Sarsa"):
        Sarsa.load(lake.save(tmp_path / "lake.agent"))


def rewrite(path: Path, **changes: object) -> Path:
    archive = Archive.read(path, kind="agent")
    Archive("agent", {**archive.document, **changes}, archive.weights, {}).write(path)
    return path


def test_weights_of_another_environment_are_refused(lake: QLearning, tmp_path: Path) -> None:
    path = rewrite(lake.save(tmp_path / "a"), environment={"name": "CliffWalking-v1", "options": {}}, action_names=[])
    with pytest.raises(DataLoss, match="not those of an agent for this environment"):
        Agent.load(path)


def test_a_file_cannot_have_a_module_imported(lake: QLearning, tmp_path: Path) -> None:
    path = rewrite(lake.save(tmp_path / "a"), environment={"name": "antigravity:Lake-v1", "options": {}})
    with pytest.raises(InvalidInput, match="names a module"):
        Agent.load(path)


@pytest.mark.parametrize(
    "changes", [{"class": "Path"}, {"settings": None}, {"environment": {}}, {"settings": {"x": 1}}]
)
def test_a_document_that_is_not_whole_is_refused(lake: QLearning, tmp_path: Path, changes: dict[str, object]) -> None:
    path = rewrite(lake.save(tmp_path / "a"), **changes)
    with pytest.raises((DataLoss, InvalidInput)):
        Agent.load(path)


def test_a_file_of_a_newer_format_is_refused(lake: QLearning, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="newer"):
        Agent.load(rewrite(lake.save(tmp_path / "a"), format=2))


def test_an_environment_without_a_name_is_given_again(tmp_path: Path) -> None:
    agent = QLearning(Corridor())
    agent.fit(200, seed=0)
    path = agent.save(tmp_path / "corridor.agent")
    with pytest.raises(InvalidInput, match=r"no registered name.*reinforcement\.load\(PATH, environment=…\)"):
        lepton_ai.load(path)
    assert load(path, environment=Corridor()).predict(FIRST) == RIGHT
    assert QLearning.load(path, environment=Corridor()).predict(FIRST) == RIGHT


def test_options_that_are_no_plain_data_cannot_be_saved(tmp_path: Path) -> None:
    agent = QLearning("FrozenLake-v1", desc=np.array([["S", "F"], ["F", "G"]]))
    agent.fit(10)
    with pytest.raises(InvalidInput, match="plain data"):
        agent.save(tmp_path / "a")
