"""DQN learns on a small budget, the same way for the same seed, and leaves nothing behind in the process."""

from __future__ import annotations

import random
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.reinforcement import DQN

RANDOM_PLAY = 25.0  # mean reward on CartPole without any learning is about 22


def small(**settings: Any) -> DQN:
    sizes = {"hidden": (32,), "warmup_steps": 100, "learn_every_steps": 32, "updates": 16, **settings}
    return DQN("CartPole-v1", **sizes)


def first_weights(agent: DQN) -> torch.Tensor:
    return agent.policy.weights()["network.0.weight"]


def test_it_learns_to_balance_much_longer_than_chance() -> None:
    exploring = {"start": 1.0, "end": 0.04, "until": 0.3}
    agent = small(
        hidden=(64, 64), warmup_steps=500, learn_every_steps=128, updates=64, target_every_steps=100, epsilon=exploring
    )
    history = agent.fit(steps=8_000, seed=0, check_every_steps=500, check_episodes=3, stop_at=200.0)
    assert sum(history.lengths) <= 8_000
    assert agent.evaluate(5, seed=5).mean_reward > 4 * RANDOM_PLAY


def test_equal_seeds_give_equal_networks() -> None:
    weights = []
    for seed in (3, 3, 4):
        agent = small()
        agent.fit(steps=400, seed=seed)
        weights.append(first_weights(agent))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_process_is_left_as_it_was() -> None:
    def drawn() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(1))

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected, threads = drawn(), torch.get_num_threads()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    small().fit(steps=200)
    assert drawn() == expected
    assert torch.get_num_threads() == threads


def test_a_budget_of_episodes_is_kept() -> None:
    agent = small()
    assert len(agent.fit(episodes=12, seed=0)) == 12


def test_exploration_follows_its_schedule() -> None:
    agent = small(epsilon={"start": 0.8, "end": 0.2, "until": 0.5, "shape": "linear"})
    epsilons = agent.fit(episodes=20, seed=0).epsilons
    assert epsilons == sorted(epsilons, reverse=True)
    assert epsilons[0] == pytest.approx(0.8, abs=0.07)
    assert epsilons[-1] == pytest.approx(0.2)


def test_it_stops_when_it_is_good_enough() -> None:
    agent = small()
    history = agent.fit(steps=5_000, seed=0, check_every_steps=100, check_episodes=1, stop_at=1.0)
    assert sum(history.lengths) <= 100


def test_training_goes_on_from_the_network_there_is() -> None:
    agent = small(learning_rate=0.0)
    agent.fit(steps=200, seed=0)
    before = first_weights(agent).clone()
    agent.fit(steps=200, seed=1, check_every_steps=0)
    assert torch.equal(first_weights(agent), before)


def test_an_untrained_one_says_so() -> None:
    with pytest.raises(FailedPrecondition, match="not trained"):
        small().predict(np.zeros(4, dtype=np.float32))


@pytest.mark.parametrize("name", ["Pendulum-v1", "MountainCarContinuous-v0"])
def test_continuous_actions_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="DQN needs numbered actions"):
        DQN(name)


def test_numbered_states_are_for_tables() -> None:
    with pytest.raises(InvalidInput, match=r"DQN needs vectors.*QLearning"):
        DQN("FrozenLake-v1")


def test_grids_of_numbers_must_be_flattened() -> None:
    grid = gym.wrappers.ReshapeObservation(gym.make("CartPole-v1"), (2, 2))
    with pytest.raises(InvalidInput, match="Flatten"):
        DQN(grid)


@pytest.mark.parametrize("settings", [{"batch_size": 0}, {"hidden": (16, 0)}, {"gamma": 2}, {"learning_rate": -1}])
def test_settings_out_of_range_are_named(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(settings))):
        DQN("CartPole-v1", **settings)


@pytest.mark.parametrize("budget", [{"episodes": 1, "steps": 1}, {"episodes": 0}, {"steps": 0}])
def test_a_budget_is_one_positive_number(budget: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match=r"episodes|steps"):
        small().fit(budget.get("episodes"), steps=budget.get("steps"))


def test_observations_of_another_shape_are_refused() -> None:
    agent = small()
    agent.fit(steps=50)
    with pytest.raises(InvalidInput, match=r"shape \[3\].*\[4\]"):
        agent.predict(np.zeros(3))
