"""An agent's package: a network that gives the agent's own action values, checked samples, names of actions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from lepton_ai.errors import FailedPrecondition
from lepton_ai.package import Package
from lepton_ai.pipeline import Pipeline
from lepton_ai.postprocessing import Postprocess
from lepton_ai.reinforcement import DQN, Agent, QLearning
from tests.unit.reinforcement.corridor import FIRST, Corridor


def run(package: Package, observations: Any) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(package.path("model.onnx")), options)
    return session.run(["action_values"], {"observation": observations})[0]


def label(package: Package, values: Any) -> str:
    steps = package.postprocess_document()
    assert steps is not None
    return Postprocess.load(steps, package.postprocess_files()).run({"action_values": values})[0].labels[0].name


@pytest.fixture(scope="module")
def lake() -> QLearning:
    agent = QLearning("FrozenLake-v1")
    agent.fit(2_000, seed=0)
    return agent


@pytest.fixture(scope="module")
def pole() -> DQN:
    agent = DQN("CartPole-v1", hidden=(16,), warmup_steps=50)
    agent.fit(steps=600, seed=0)
    return agent


def test_a_table_is_served_to_the_bit(lake: QLearning, tmp_path: Path) -> None:
    package = lake.package(tmp_path / "lake")
    assert (run(package, np.arange(16)) == lake.action_values(range(16))).all()
    assert run(package, np.arange(0)).shape == (0, 4)


def test_what_is_no_state_gets_no_number_and_spoils_nothing(lake: QLearning, tmp_path: Path) -> None:
    values = run(lake.package(tmp_path / "lake"), np.array([-1, 3, 16]))
    assert np.isnan(values[[0, 2]]).all()
    assert (values[1] == lake.action_values([3])[0]).all()


def test_a_network_answers_alike(pole: DQN, tmp_path: Path) -> None:
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    served = run(pole.package(tmp_path / "pole"), observations)
    assert np.allclose(served, pole.action_values(observations), atol=1e-4)


@pytest.mark.parametrize(("which", "dtype", "shape"), [("lake", "INT64", (-1,)), ("pole", "FP32", (-1, 4))])
def test_the_description_says_what_goes_in_and_out(
    which: str, dtype: str, shape: tuple[int, ...], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    agent: Agent = request.getfixturevalue(which)
    package = agent.package(tmp_path / "p", name="walker", description="说明")
    package.check()
    given, made = package.description.inputs[0], package.description.outputs[0]
    assert (given.name, given.dtype, given.shape) == ("observation", dtype, shape)
    assert (made.name, made.shape) == ("action_values", (-1, int(agent.actions.n)))
    assert (package.description.name, package.description.description) == ("walker", "说明")


def test_golden_samples_are_what_the_agent_does(lake: QLearning, tmp_path: Path) -> None:
    package = lake.package(tmp_path / "lake")
    document = package.pipeline_document()
    assert document is not None
    pipeline = Pipeline.load(document)
    assert len(package.golden_items()) >= 3
    for sample, described in zip(package.golden_items(), package.description.golden, strict=True):
        state = described.inputs["observation"]["values"]  # type: ignore[call-overload, index]
        tensors = pipeline.run({"observation": np.asarray(state, dtype=np.int64)}).tensors
        values = run(package, tensors["observation"][np.newaxis])
        assert np.abs(values[0] - sample.outputs["action_values"].values).max() <= 1e-9
        assert sample.label == label(package, values) == lake.action_names[lake.predict(state)]


def test_the_name_comes_from_environment_and_agent(lake: QLearning, tmp_path: Path) -> None:
    assert lake.package(tmp_path / "p").description.name == "frozenlake-v1-qlearning"


def test_own_names_of_actions_become_labels(tmp_path: Path) -> None:
    agent = QLearning("FrozenLake-v1", action_names=["左", "下", "右", "上"], is_slippery=False)
    agent.fit(500, seed=0)
    package = agent.package(tmp_path / "p")
    assert label(package, run(package, np.array([14]))) == "右"


def test_without_names_actions_have_numbers(tmp_path: Path) -> None:
    agent = QLearning(Corridor())
    agent.fit(200, seed=0)
    package = agent.package(tmp_path / "p")
    package.check()
    assert (run(package, np.arange(FIRST, FIRST + 3)) == agent.action_values(range(FIRST, FIRST + 3))).all()
    assert package.golden_items()[0].label is None


def test_only_a_trained_agent_can_be_packed(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="not trained"):
        QLearning("FrozenLake-v1").package(tmp_path / "p")
    assert not (tmp_path / "p").exists()
