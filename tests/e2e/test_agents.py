"""Agents on a running platform: the same action for every state as the agent itself, and the example as it stands."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import lepton_ai as la
from lepton_ai.reinforcement import DQN, Agent, QLearning
from lepton_ai.reinforcement.packaging import visited
from tests.e2e.conftest import ONE_THREAD
from tests.platform import Platform, running_platform

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform of its own: other tests count what the shared one serves."""
    with running_platform(tmp_path_factory.mktemp("agents") / ".lepton") as running:
        yield running


async def serve(platform: Platform, agent: Agent, name: str, directory: Path) -> None:
    agent.package(directory / name, name=name)
    async with platform.client() as client:
        await client.push(directory / name)
        await client.deploy(name)


async def test_a_served_table_does_in_every_state_what_the_agent_does(field: Platform, tmp_path: Path) -> None:
    agent = QLearning("FrozenLake-v1", action_names=("左", "下", "右", "上"), is_slippery=True)
    agent.fit(2_000, seed=0)
    await serve(field, agent, "lake", tmp_path)
    async with field.client() as client:
        values = (await client.infer("lake", {"observation": np.arange(16)})).tensors["action_values"]
        answer = await client.predict_batch("lake", [np.asarray(state) for state in range(16)])
    assert (values == agent.action_values(range(16))).all()
    expected = [agent.predict(state) for state in range(16)]
    assert [each.labels[0].index for each in answer.predictions] == expected
    assert [each.labels[0].name for each in answer.predictions] == [agent.action_names[action] for action in expected]


async def test_the_file_of_an_agent_is_deployed_and_again_only_once(field: Platform, tmp_path: Path) -> None:
    agent = QLearning("FrozenLake-v1", is_slippery=False)
    agent.fit(200, seed=0)
    path = agent.save(tmp_path / "lake.agent")
    for _ in range(2):
        await asyncio.to_thread(la.deploy, path, name="lake-file", addresses=field.addresses)
    async with field.client() as client:
        answer = await client.predict("lake-file", 0)
        assert answer.labels[0].index == agent.predict(0)
        assert (await client.predict_batch("lake-file", [0])).version == 1


async def test_what_is_no_state_spoils_nothing_for_others(field: Platform, tmp_path: Path) -> None:
    agent = QLearning("CliffWalking-v1", epsilon=0.1)
    agent.fit(50, seed=0)
    await serve(field, agent, "cliff", tmp_path)
    async with field.client() as client:
        values = (await client.infer("cliff", {"observation": np.array([48, 36])})).tensors["action_values"]
    assert np.isnan(values[0]).all()
    assert (values[1] == agent.action_values([36])[0]).all()


async def test_a_served_network_does_what_the_agent_does(field: Platform, tmp_path: Path) -> None:
    agent = DQN("CartPole-v1", hidden=(32,), warmup_steps=100)
    agent.fit(steps=1_500, seed=0)
    await serve(field, agent, "pole", tmp_path)
    observations = visited(agent)
    async with field.client() as client:
        served = (await client.infer("pole", {"observation": observations})).tensors["action_values"]
        answer = await client.predict_batch("pole", list(observations))
    assert np.allclose(served, agent.action_values(observations), atol=1e-4)
    assert [each.labels[0].index for each in answer.predictions] == [agent.predict(each) for each in observations]


def test_the_example_goes_all_the_way(field: Platform, tmp_path: Path) -> None:
    environment = {**os.environ, **ONE_THREAD, "LEPTON_HOME": str(field.home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "examples.reinforcement", "--small", "--out", str(tmp_path / "智能体")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("served: reward") == 5
