"""Q-learning and SARSA solve what they are known to solve, and refuse what is not for them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit

from lepton_ai.errors import FailedPrecondition, InvalidInput, NotFound
from lepton_ai.reinforcement import QLearning, Sarsa, Schedule
from lepton_ai.reinforcement.tabular import TabularAgent
from tests.unit.reinforcement.corridor import FIRST, LEFT, RIGHT, Corridor

TABULAR = [QLearning, Sarsa]
SLIPPERY_LAKE_OPTIMUM = 0.7402  # of the best policy within the 100 steps of an episode, by dynamic programming


def crossing_rate(agent: TabularAgent, *, steps: int = 100) -> float:
    """The exact chance of reaching the goal within an episode, from the lake's own transition table."""
    moves = agent.environment.unwrapped.P  # type: ignore[attr-defined]
    chances, crossed = {0: 1.0}, 0.0
    for _ in range(steps):
        following: dict[int, float] = defaultdict(float)
        for state, chance in chances.items():
            for probability, reached, reward, over in moves[state][agent.predict(state)]:
                crossed += chance * probability * reward
                following[reached] += 0.0 if over else chance * probability
        chances = following
    return crossed


def cliff_walker(kind: type[TabularAgent]) -> TabularAgent:
    agent = kind("CliffWalking-v1", epsilon=0.1)
    agent.fit(500, seed=0)
    return agent


@pytest.mark.parametrize("kind", TABULAR)
def test_the_slippery_lake_is_crossed_about_as_often_as_is_possible(kind: type[TabularAgent]) -> None:
    agent = kind("FrozenLake-v1", map_name="4x4", is_slippery=True)
    agent.fit(10_000, seed=0)
    mean_reward, success_rate = agent.evaluate(1_000, seed=1)
    assert mean_reward == success_rate
    assert success_rate >= 0.70
    assert SLIPPERY_LAKE_OPTIMUM - 0.02 <= crossing_rate(agent) <= SLIPPERY_LAKE_OPTIMUM + 1e-4


def test_q_learning_walks_the_shortest_way_along_the_cliff() -> None:
    evaluation = cliff_walker(QLearning).evaluate(10)
    assert tuple(evaluation) == (-13.0, 0.0)
    assert evaluation.success_rate is None


def test_sarsa_keeps_away_from_the_cliff_and_falls_less_while_it_explores() -> None:
    careful, bold = cliff_walker(Sarsa), cliff_walker(QLearning)
    assert -21 <= careful.evaluate(10).mean_reward <= -15
    assert careful.history.mean_reward() > bold.history.mean_reward() + 5


@pytest.mark.parametrize("kind", TABULAR)
def test_values_of_a_corridor_are_the_discounted_reward(kind: type[TabularAgent]) -> None:
    agent = kind(Corridor(4), gamma=0.5, epsilon=Schedule(1.0, 0.0, until=0.5), learning_rate=0.5)
    agent.fit(400, seed=0)
    right = agent.action_values([FIRST, FIRST + 1, FIRST + 2])[:, RIGHT - LEFT]
    assert np.allclose(right, [0.25, 0.5, 1.0], atol=0.01)
    assert [agent.predict(FIRST + step) for step in range(3)] == [RIGHT] * 3


def test_only_a_real_end_is_worth_nothing() -> None:
    """Cut off after a single step, the state that was reached keeps its worth."""
    agent = QLearning(TimeLimit(Corridor(3), 1), gamma=0.5, epsilon=0.0, learning_rate=1.0, initial_value=8.0)
    agent.fit(20, seed=0)
    assert agent.action_values([FIRST])[0, RIGHT - LEFT] == 4.0


def test_the_two_differ_in_what_the_next_state_is_worth() -> None:
    assert QLearning.future_value([1.0, 3.0], action=0) == 3.0
    assert Sarsa.future_value([1.0, 3.0], action=0) == 1.0


@pytest.mark.parametrize("kind", TABULAR)
def test_equal_seeds_give_equal_tables(kind: type[TabularAgent]) -> None:
    tables = []
    for seed in (7, 7, 8):
        agent = kind("FrozenLake-v1")
        agent.fit(300, seed=seed)
        tables.append(agent.action_values(range(16)))
    assert (tables[0] == tables[1]).all()
    assert (tables[0] != tables[2]).any()


def test_training_goes_on_from_what_was_learned() -> None:
    agent = QLearning("CliffWalking-v1", epsilon=0.1)
    first = agent.fit(300, seed=0)
    second = agent.fit(100, seed=1)
    assert second.mean_reward() > first.mean_reward(last=300)
    assert len(agent.history) == 400
    assert agent.history.epsilons[0] == 0.1


def test_a_walk_in_circles_ends() -> None:
    agent = QLearning("CliffWalking-v1", epsilon=0.0, learning_rate=0.0)
    agent.fit(1)
    assert agent.evaluate(1).lengths == (1_000,)


def test_an_unknown_environment_is_not_found() -> None:
    with pytest.raises(NotFound, match=r"FrozenLak-v1.*FrozenLake"):
        QLearning("FrozenLak-v1")


@pytest.mark.parametrize("name", ["no name", "CliffWalking-v0", "nosuchmodule:Lake-v1"])
def test_names_that_lead_nowhere_are_not_found(name: str) -> None:
    with pytest.raises(NotFound) as caught:
        Sarsa(name)
    assert caught.value.reason == "UNKNOWN_ENVIRONMENT"


@pytest.mark.parametrize("options", [{"slippery": True}, {"map_name": "9x9"}])
def test_options_that_the_environment_does_not_take_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        QLearning("FrozenLake-v1", **options)
    assert next(iter(options)) in str(caught.value)


@pytest.mark.parametrize("kind", TABULAR)
def test_continuous_observations_are_refused(kind: type[TabularAgent]) -> None:
    with pytest.raises(InvalidInput, match=f"{kind.__name__} needs numbered observations.*Box.*DQN"):
        kind("CartPole-v1")


def test_continuous_actions_are_refused() -> None:
    with pytest.raises(InvalidInput, match="numbered actions"):
        QLearning("Pendulum-v1")


def test_what_is_no_environment_is_refused() -> None:
    with pytest.raises(InvalidInput, match="environment"):
        QLearning(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="is_slippery"):
        QLearning(gym.make("FrozenLake-v1"), is_slippery=True)


def test_an_untrained_agent_says_so() -> None:
    agent = QLearning("FrozenLake-v1")
    for use in (lambda: agent.predict(0), lambda: agent.evaluate(1), lambda: agent.save("agent.zip")):
        with pytest.raises(FailedPrecondition, match=r"not trained.*fit"):
            use()
    assert "not yet" in agent.summary()


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"gamma": 1.1}, "gamma"),
        ({"epsilon": -0.1}, "epsilon"),
        ({"epsilon": {"begin": 1}}, "epsilon"),
        ({"learning_rate": Schedule(2.0, 0.1)}, "learning_rate"),
        ({"action_names": ("left", "right")}, "action_names"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        QLearning("FrozenLake-v1", **settings)


def test_counts_must_be_positive() -> None:
    agent = QLearning("FrozenLake-v1")
    with pytest.raises(InvalidInput, match="episodes"):
        agent.fit(0)
    agent.fit(1)
    with pytest.raises(InvalidInput, match="episodes"):
        agent.evaluate(0)


@pytest.mark.parametrize("observation", [-1, 16, 1.5, "a", [0, 1]])
def test_what_is_no_state_is_refused(observation: Any) -> None:
    agent = QLearning("FrozenLake-v1")
    agent.fit(1)
    with pytest.raises(InvalidInput, match="observation"):
        agent.predict(observation)


def test_states_and_actions_may_begin_anywhere() -> None:
    agent = QLearning(Corridor(3))
    agent.fit(200, seed=0)
    assert agent.predict(FIRST) == RIGHT
    with pytest.raises(InvalidInput, match=f"{FIRST} to {FIRST + 2}"):
        agent.predict(0)


def test_the_summary_tells_what_it_is_and_how_it_does() -> None:
    agent = QLearning("FrozenLake-v1", gamma=0.9)
    agent.fit(150, seed=0)
    for part in ("QLearning on FrozenLake-v1", "left, down, right, up", "150 episodes", "gamma: 0.9"):
        assert part in agent.summary()


@pytest.mark.parametrize("observation", [5, np.int64(5), np.uint8(5), np.array(5), np.array([5]), [5]])
def test_a_state_may_be_a_number_or_an_array_of_one(observation: Any) -> None:
    agent = QLearning("FrozenLake-v1")
    agent.fit(50, seed=0)
    assert agent.predict(observation) == agent.action_values([5])[0].argmax()


@pytest.mark.parametrize(
    ("observation", "word"),
    [([0, 1], r"has shape \[2\]"), ([[0]], r"has shape \[1, 1\]"), (1.0, "is float64, a state is a whole number")],
)
def test_what_could_be_several_states_is_said_to_be_so(observation: Any, word: str) -> None:
    agent = QLearning("FrozenLake-v1")
    agent.fit(1, seed=0)
    with pytest.raises(InvalidInput, match=word):
        agent.predict(observation)
