"""Agents that learn by trying: Q-learning and SARSA on tables, DQN on networks, all deployable like any model.

agent = QLearning("FrozenLake-v1", is_slippery=True)
agent.fit(episodes=20_000, seed=0)
print(agent.evaluate(episodes=1_000))
agent.package("frozenlake/")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.lazy import lazily
from lepton_ai.reinforcement.agent import Agent
from lepton_ai.reinforcement.history import Evaluation, History
from lepton_ai.reinforcement.schedules import Schedule
from lepton_ai.reinforcement.tabular import QLearning, Sarsa

if TYPE_CHECKING:
    from lepton_ai.reinforcement.deep import DQN
    from lepton_ai.reinforcement.saving import load

__all__ = ["DQN", "Agent", "Evaluation", "History", "QLearning", "Sarsa", "Schedule", "load"]

__getattr__ = lazily(__name__, {"DQN": "lepton_ai.reinforcement.deep", "load": "lepton_ai.reinforcement.saving"})
