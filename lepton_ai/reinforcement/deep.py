"""DQN (Mnih et al. 2015) for environments with vectors of numbers as observations, learned by stable-baselines3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gymnasium import spaces
from torch import Tensor

from lepton_ai.errors import InvalidInput
from lepton_ai.reinforcement.agent import Agent
from lepton_ai.reinforcement.deep_learning import Budget, Checks, learn
from lepton_ai.reinforcement.environment import Env
from lepton_ai.reinforcement.history import History
from lepton_ai.reinforcement.policy import NetworkPolicy, Policy, read_network
from lepton_ai.reinforcement.progress import training_progress
from lepton_ai.reinforcement.schedules import Rate, Schedule, check_gamma, read_rate

EXPLORATION = Schedule(1.0, 0.04, until=0.16)
_DEFAULT_STEPS = 50_000


class DQN(Agent):
    """Learns a network that tells what each action is worth, from a memory of what it has tried."""

    def __init__(  # noqa: PLR0913 - settings are keywords here as they are for every agent
        self,
        environment: str | Env,
        *,
        gamma: float = 0.99,
        epsilon: Rate = EXPLORATION,
        learning_rate: Rate = 2.3e-3,
        hidden: Sequence[int] = (256, 256),
        batch_size: int = 64,
        memory_steps: int = 100_000,
        warmup_steps: int = 1_000,
        learn_every_steps: int = 256,
        updates: int = 128,
        target_every_steps: int = 10,
        action_names: Sequence[str] = (),
        **options: Any,
    ) -> None:
        """The defaults are tuned for CartPole (those of RL Baselines3 Zoo); `options` go to the environment.

        Every `learn_every_steps` it makes `updates` of `batch_size` remembered steps out of the last `memory_steps`;
        the network that judges the next state is renewed every `target_every_steps`. `hidden` are the layers' widths.
        Raises NotFound for an unknown environment, InvalidInput for one that does not suit.
        """
        counts = {
            "batch_size": batch_size,
            "memory_steps": memory_steps,
            "warmup_steps": warmup_steps,
            "learn_every_steps": learn_every_steps,
            "updates": updates,
            "target_every_steps": target_every_steps,
        }
        for name, count in (*counts.items(), *((f"hidden[{index}]", width) for index, width in enumerate(hidden))):
            if count < 1:
                raise InvalidInput.of_field(name, "must be at least 1")
        rates = {
            "gamma": check_gamma(gamma),
            "epsilon": read_rate(epsilon, field="epsilon").to_json(),
            "learning_rate": read_rate(learning_rate, field="learning_rate").to_json(),
        }
        super().__init__(environment, {**rates, "hidden": list(hidden), **counts}, action_names, options)
        self._shape = _vector(self.environment.observation_space)
        if self.actions.start != 0:
            raise InvalidInput.of_field("environment.action_space", "starts at another number than 0")

    def fit(
        self,
        episodes: int | None = None,
        *,
        steps: int | None = None,
        seed: int = 0,
        check_every_steps: int = 2_500,
        check_episodes: int = 10,
        stop_at: float | None = None,
        progress: bool | None = None,
    ) -> History:
        """Play and learn for so many episodes, or steps (default 50,000), on one CPU thread.

        Every `check_every_steps` (0: never) it plays `check_episodes` without exploring; the best network so far is the
        one that is kept, and training ends early when its mean reward reaches `stop_at`. Equal seeds give equal
        networks on the same machine. Called again, it goes on from its network with an empty memory.
        Raises InvalidInput.
        """
        budget = _budget(episodes, steps)
        if check_every_steps < 0 or check_episodes < 1:
            raise InvalidInput.of_field("check_every_steps", "must not be negative, and check_episodes at least 1")
        checks = Checks(check_every_steps, check_episodes, stop_at)
        start = self._policy.network if isinstance(self._policy, NetworkPolicy) else None
        with training_progress(self.title, progress) as advance:
            network, history = learn(
                self.environment, self.settings, start, budget=budget, checks=checks, seed=seed, advance=advance
            )
        self._policy = NetworkPolicy(network, self._shape)
        self.history.extend(history)
        return history

    def read_policy(self, weights: Mapping[str, Tensor]) -> Policy:
        """See Agent."""
        widths = (*self._shape, *self.settings["hidden"], int(self.actions.n))
        return NetworkPolicy(read_network(weights, widths), self._shape)


def _vector(space: spaces.Space[Any]) -> tuple[int, ...]:
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return space.shape
    kind = f"{type(space).__name__} of shape {list(space.shape or ())}"
    fix = "Use QLearning or Sarsa." if isinstance(space, spaces.Discrete) else "Flatten them with a Gymnasium wrapper."
    raise InvalidInput.of_field(
        "environment.observation_space",
        f"DQN needs vectors of numbers (Box of one dimension), this environment has {kind}",
        reason="UNSUITABLE_SPACE",
        fix=fix,
    )


def _budget(episodes: int | None, steps: int | None) -> Budget:
    if episodes is not None and steps is not None:
        raise InvalidInput.of_field("steps", "cannot be given together with episodes", fix="Give one of them.")
    if (episodes is not None and episodes < 1) or (steps is not None and steps < 1):
        raise InvalidInput.of_field("episodes" if steps is None else "steps", "must be at least 1")
    return Budget(episodes, steps or (_DEFAULT_STEPS if episodes is None else None))
