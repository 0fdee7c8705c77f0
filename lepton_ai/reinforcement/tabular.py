"""Q-learning and SARSA: learning by temporal difference on a table of action values (Sutton and Barto, 6.4, 6.5)."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lepton_ai.errors import InvalidInput
from lepton_ai.reinforcement.agent import Agent
from lepton_ai.reinforcement.environment import Env, discrete
from lepton_ai.reinforcement.history import History
from lepton_ai.reinforcement.policy import Policy, TablePolicy, read_table
from lepton_ai.reinforcement.progress import training_progress
from lepton_ai.reinforcement.schedules import Rate, Schedule, check_gamma, read_rate

if TYPE_CHECKING:
    from torch import Tensor

EXPLORATION = Schedule(1.0, 0.05, until=0.8)
LEARNING_RATE = Schedule(0.5, 0.01, shape="exponential")
_REPORTS = 200

Table = list[list[float]]
"""A row of action values for every state; lists, because numpy is slow on single numbers."""


class TabularAgent(Agent):
    """An agent for environments with numbered states and actions; subclasses say what the future is worth."""

    def __init__(
        self,
        environment: str | Env,
        *,
        gamma: float = 0.99,
        epsilon: Rate = EXPLORATION,
        learning_rate: Rate = LEARNING_RATE,
        initial_value: float = 0.0,
        action_names: Sequence[str] = (),
        **options: Any,
    ) -> None:
        """`gamma` discounts each step, `epsilon` is the share of random actions; `options` are the environment's.

        Raises NotFound for an unknown environment, InvalidInput for one whose states or actions are not numbered.
        """
        self._epsilon = read_rate(epsilon, field="epsilon")
        self._learning_rate = read_rate(learning_rate, field="learning_rate")
        settings = {
            "gamma": check_gamma(gamma),
            "epsilon": self._epsilon.to_json(),
            "learning_rate": self._learning_rate.to_json(),
            "initial_value": float(initial_value),
        }
        super().__init__(environment, settings, action_names, options)
        self._states = discrete(
            self.environment.observation_space,
            what="observation",
            agent=type(self).__name__,
            fix="Use DQN, or an observation wrapper that numbers the states.",
        )

    @staticmethod
    @abstractmethod
    def future_value(values: Sequence[float], action: int) -> float:
        """What a state is worth, from its action values and the action that will be taken there."""

    def fit(self, episodes: int = 10_000, *, seed: int = 0, progress: bool | None = None) -> History:
        """Play and learn; equal seeds give equal tables. Called again, it goes on from what it knows.

        `progress` None shows a bar when a person watches. Raises InvalidInput.
        """
        if episodes < 1:
            raise InvalidInput.of_field("episodes", "must be at least 1")
        table, history = self._start_table(), History()
        with training_progress(self.title, progress) as advance:
            choice = random.Random(seed)  # noqa: S311 - exploration, no secret
            for episode in range(episodes):
                observation, _ = self.environment.reset(seed=seed if episode == 0 else None)
                epsilon, rate = self._epsilon(episode / episodes), self._learning_rate(episode / episodes)
                reward, steps = self._play(table, int(observation), choice, epsilon=epsilon, rate=rate)
                history.record(reward, steps, epsilon)
                if (episode + 1) % max(episodes // _REPORTS, 1) == 0:
                    advance((episode + 1) / episodes, f"reward {history.mean_reward():.3g}")
        self._policy = TablePolicy(np.array(table, dtype=np.float64), int(self._states.start))
        self.history.extend(history)
        return history

    def read_policy(self, weights: Mapping[str, Tensor]) -> Policy:
        """See Agent."""
        table = read_table(weights, (int(self._states.n), int(self.actions.n)))
        return TablePolicy(table, int(self._states.start))

    def _start_table(self) -> Table:
        if isinstance(self._policy, TablePolicy):
            rows: Table = self._policy.table.tolist()
            return rows
        value: float = self.settings["initial_value"]
        return [[value] * int(self.actions.n) for _ in range(int(self._states.n))]

    def _play(
        self, table: Table, observation: int, choice: random.Random, *, epsilon: float, rate: float
    ) -> tuple[float, int]:
        """One episode, learning after every step; the sum of its rewards and its length."""
        gamma: float = self.settings["gamma"]
        first_state, first_action = int(self._states.start), int(self.actions.start)
        step, future_value = self.environment.step, self.future_value
        state = observation - first_state
        action = choose(table[state], epsilon, choice)
        total, steps = 0.0, 0
        while True:
            observation, reward, terminated, truncated, _ = step(first_action + action)
            following = int(observation) - first_state
            next_action = choose(table[following], epsilon, choice)
            # An episode that is cut off would have gone on: only its real end is worth nothing.
            future = 0.0 if terminated else gamma * future_value(table[following], next_action)
            table[state][action] += rate * (float(reward) + future - table[state][action])
            total, steps = total + float(reward), steps + 1
            if terminated or truncated:
                return total, steps
            state, action = following, next_action


class QLearning(TabularAgent):
    """Learns what the best actions are worth, whatever is tried meanwhile (off-policy)."""

    @staticmethod
    def future_value(values: Sequence[float], action: int) -> float:
        """The best action's value."""
        return max(values)


class Sarsa(TabularAgent):
    """Learns what its own behaviour is worth, exploration included (on-policy): it keeps away from cliffs.

    With a constant `epsilon` it learns the path that is safe for that much exploration.
    """

    @staticmethod
    def future_value(values: Sequence[float], action: int) -> float:
        """The taken action's value."""
        return values[action]


def choose(values: Sequence[float], epsilon: float, choice: random.Random) -> int:
    """A random action with probability `epsilon`, else the best one; among equals any, or none would be tried."""
    if choice.random() < epsilon:
        return int(choice.random() * len(values))
    best = max(values)
    equals = [action for action, value in enumerate(values) if value == best]
    return equals[0] if len(equals) == 1 else equals[int(choice.random() * len(equals))]
