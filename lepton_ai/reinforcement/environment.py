"""Gymnasium environments: opening them with errors that say what to do, and what their spaces mean to an agent."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import TimeLimit

from lepton_ai.errors import FailedPrecondition, InvalidInput, LeptonError, NotFound

Env = gym.Env[Any, Any]

MAX_EPISODE_STEPS = 1_000
"""Where an environment sets no limit of its own: a policy that walks in circles must end, too."""

# What the environments' documentation calls their actions, by name without version.
_ACTION_NAMES: dict[str, tuple[str, ...]] = {
    "Acrobot": ("torque -1", "torque 0", "torque +1"),
    "Blackjack": ("stick", "hit"),
    "CartPole": ("left", "right"),
    "CliffWalking": ("up", "right", "down", "left"),
    "FrozenLake": ("left", "down", "right", "up"),
    "FrozenLake8x8": ("left", "down", "right", "up"),
    "LunarLander": ("nothing", "left engine", "main engine", "right engine"),
    "MountainCar": ("left", "nothing", "right"),
    "Taxi": ("south", "north", "east", "west", "pick up", "drop off"),
}


@dataclass(frozen=True)
class Recipe:
    """How to make an environment again: its registered name and the options it was made with."""

    name: str
    options: Mapping[str, Any]

    def make(self) -> Env:
        """A new environment. Raises NotFound for an unknown one, InvalidInput for options that it does not take."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that a newer version exists; a removed one is an error
                return gym.make(self.name, disable_env_checker=True, **self.options)
        except gym.error.DependencyNotInstalled as error:
            raise FailedPrecondition(f"The environment {self.name!r} needs a package: {error}") from error
        except (gym.error.Error, ModuleNotFoundError) as error:
            raise _unknown(self.name, error) from error
        except (TypeError, ValueError, KeyError, AssertionError) as error:
            raise InvalidInput(
                f"The environment {self.name!r} cannot be made with these options: {error}.",
                reason="INVALID_OPTIONS",
                fix=f"Given were {', '.join(self.options) or 'none'}; see the environment's documentation.",
            ) from error

    def to_json(self) -> dict[str, Any]:
        """The recipe as plain data. Raises InvalidInput for options that JSON cannot hold."""
        try:
            options = json.loads(json.dumps(dict(self.options)))
        except (TypeError, ValueError) as error:
            raise InvalidInput("The environment's options are not plain data.", fix="Use numbers and texts.") from error
        return {"name": self.name, "options": options}


def open_environment(environment: str | Env, options: Mapping[str, Any]) -> tuple[Env, Recipe | None]:
    """The environment with a limit of steps, and how to make it again; None for one that only its maker can make."""
    if isinstance(environment, str):
        recipe: Recipe | None = Recipe(environment, options)
        env = Recipe(environment, options).make()
    elif isinstance(environment, gym.Env):
        if options:
            raise InvalidInput(f"{', '.join(options)}: options go with an environment's name, not with an object.")
        env, recipe = environment, _recipe_of(environment.spec)
    else:
        raise InvalidInput.of_field("environment", "must be a registered name or a Gymnasium environment")
    return with_limit(env), recipe


def with_limit(env: Env) -> Env:
    """The environment, cut off after MAX_EPISODE_STEPS when nothing else limits its episodes."""
    layer: Env = env
    while isinstance(layer, gym.Wrapper):
        if isinstance(layer, TimeLimit):
            return env
        layer = layer.env
    return TimeLimit(env, MAX_EPISODE_STEPS)


def discrete(space: gym.Space[Any], *, what: str, agent: str, fix: str) -> gym.spaces.Discrete:
    """The space, when it is Discrete. Raises InvalidInput otherwise."""
    if isinstance(space, gym.spaces.Discrete):
        return space
    raise InvalidInput.of_field(
        f"environment.{what}_space",
        f"{agent} needs numbered {what}s (Discrete), this environment has {type(space).__name__}",
        reason="UNSUITABLE_SPACE",
        fix=fix,
    )


def known_action_names(recipe: Recipe | None, count: int) -> tuple[str, ...]:
    """What the environment's documentation calls its actions; empty when that is not known here."""
    base = recipe.name.rpartition("-v")[0] if recipe else ""
    names = _ACTION_NAMES.get(base, ())
    return names if len(names) == count else ()


def _recipe_of(spec: EnvSpec | None) -> Recipe | None:
    if spec is None or spec.additional_wrappers:
        return None
    limit = {} if spec.max_episode_steps is None else {"max_episode_steps": spec.max_episode_steps}
    return Recipe(spec.id, {**spec.kwargs, **limit})


def _unknown(name: str, error: Exception) -> LeptonError:
    said = str(error).rstrip(".")
    return NotFound(
        f"There is no environment {name[:100]!r}: {said}{'' if said.endswith('?') else '.'}",
        reason="UNKNOWN_ENVIRONMENT",
        fix="See gymnasium.envs.registry for the names, and install the package that brings the environment.",
    )
