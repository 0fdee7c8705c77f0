"""What all agents share: play, evaluate, predict, save, load, package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.reinforcement.environment import Env, discrete, known_action_names, open_environment
from lepton_ai.reinforcement.history import Evaluation, History
from lepton_ai.reinforcement.policy import Policy, Values

if TYPE_CHECKING:
    from torch import Tensor

    from lepton_ai.package import Package


class Agent(ABC):
    """Learns by trying what to do in an environment with numbered actions."""

    def __init__(
        self,
        environment: str | Env,
        settings: Mapping[str, Any],
        action_names: Sequence[str],
        options: Mapping[str, Any],
    ) -> None:
        """Subclasses give their settings as plain data; `options` go to the environment.

        Raises NotFound for an unknown environment, InvalidInput for one that does not suit the agent.
        """
        self.environment, self.recipe = open_environment(environment, options)
        self.settings = dict(settings)
        self.history = History()
        """Of all training so far."""
        self.actions = discrete(
            self.environment.action_space, what="action", agent=type(self).__name__, fix="Use another kind of agent."
        )
        self.action_names = tuple(action_names) or known_action_names(self.recipe, int(self.actions.n))
        if self.action_names and len(self.action_names) != self.actions.n:
            given = len(self.action_names)
            raise InvalidInput.of_field("action_names", f"{given} names for {self.actions.n} actions")
        self._policy: Policy | None = None

    @abstractmethod
    def read_policy(self, weights: Mapping[str, Tensor]) -> Policy:
        """The policy that was saved as these weights. Raises DataLoss when they do not fit the environment."""

    @property
    def policy(self) -> Policy:
        """What was learned. Raises FailedPrecondition before that."""
        if self._policy is None:
            raise FailedPrecondition(
                "The agent is not trained.", reason="NOT_TRAINED", fix="Call fit, or load a trained one."
            )
        return self._policy

    @property
    def title(self) -> str:
        """The agent and its environment, for people."""
        return (
            f"{type(self).__name__} on {self.recipe.name if self.recipe else type(self.environment.unwrapped).__name__}"
        )

    def action_values(self, observations: npt.ArrayLike) -> Values:
        """What each action is worth, [N, actions], for N observations."""
        return self.policy.action_values(observations)

    def predict(self, observation: Any) -> int:
        """The best action for one observation; the first one among equals. A state may be a number or an array of one.

        Raises FailedPrecondition untrained, InvalidInput for what is no observation.
        """
        given = np.asarray(observation)
        one = given.reshape(()) if self.policy.shape == () and given.shape == (1,) else given
        values = self.policy.action_values(one[np.newaxis])
        return int(self.actions.start + values[0].argmax())

    def evaluate(self, episodes: int = 100, *, seed: int = 0, success_at: float | None = None) -> Evaluation:
        """Play without exploring: (mean reward, success rate), or (mean, standard deviation) without a threshold.

        `success_at` is the reward that makes an episode a success; default: the environment's own threshold.
        """
        if episodes < 1:
            raise InvalidInput.of_field("episodes", "must be at least 1")
        if success_at is None and self.environment.spec is not None:
            success_at = self.environment.spec.reward_threshold
        return evaluate(self.predict, self.environment, episodes, seed=seed, success_at=success_at)

    def summary(self) -> str:
        """What it is, and how far its training went, in a few lines."""
        rows = {"observations": self.environment.observation_space, "actions": ", ".join(self.action_names)}
        rows["actions"] = rows["actions"] or f"{self.actions.n}"
        trained = f"{len(self.history)} episodes, mean reward of the last 100: {self.history.mean_reward():.4g}"
        rows["trained"] = trained if self._policy else "not yet"
        settings = ((name, value) for name, value in self.settings.items())
        lines = [self.title, *(f"  {name}: {value}" for name, value in (*rows.items(), *settings))]
        return "\n".join(lines)

    def restore(self, policy: Policy, history: History) -> None:
        """Take over what was learned before, with how it went."""
        self._policy, self.history = policy, history

    def save(self, path: Path | str) -> Path:
        """Write the agent into one file, whole or not at all. Raises ResourceExhausted when the disk is full."""
        from lepton_ai.reinforcement.saving import save

        return save(self, path)

    @classmethod
    def load(cls, path: Path | str, *, environment: Env | None = None) -> Self:
        """Read what `save` wrote; nothing is unpickled. `environment` is for those that have no registered name.

        Raises NotFound, DataLoss for a damaged file, InvalidInput for one that holds something else.
        """
        from lepton_ai.reinforcement.saving import load

        agent = load(path, environment=environment)
        if not isinstance(agent, cls):
            raise InvalidInput(f"{Path(path).name} was saved by {type(agent).__name__}, not by {cls.__name__}.")
        return agent

    def package(self, directory: Path | str, *, name: str = "", description: str = "") -> Package:
        """Write a package ready to push: observation in, action values and the best action's name out.

        `name` is the model's; default: the environment's. Raises FailedPrecondition for an untrained agent.
        """
        from lepton_ai.reinforcement.packaging import package

        return package(self, directory, name=name, description=description)


def evaluate(
    act: Callable[[Any], int], environment: Env, episodes: int, *, seed: int, success_at: float | None = None
) -> Evaluation:
    """Play whole episodes with `act`, from observation to action."""
    rewards, lengths = [], []
    for episode in range(episodes):
        observation, _ = environment.reset(seed=seed if episode == 0 else None)
        total, steps, over = 0.0, 0, False
        while not over:
            observation, reward, terminated, truncated, _ = environment.step(act(observation))
            total, steps, over = total + float(reward), steps + 1, terminated or truncated
        rewards.append(total)
        lengths.append(steps)
    return Evaluation(rewards, lengths, success_at=success_at)
