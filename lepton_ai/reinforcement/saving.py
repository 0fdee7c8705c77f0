"""The file of an agent: settings, environment, history and weights in one archive that loads without unpickling."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_ai.archive import Archive
from lepton_ai.errors import DataLoss, InvalidInput
from lepton_ai.reinforcement.agent import Agent
from lepton_ai.reinforcement.environment import Env
from lepton_ai.reinforcement.history import History

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

_KIND, _FORMAT = "agent", 1
_GIVE_ONE = (
    "Make the environment yourself and give it to lepton_ai.reinforcement.load(PATH, environment=…); what that gives "
    "can be deployed, too."
)
_HISTORY = ("rewards", "lengths", "epsilons")


def save(agent: Agent, path: Path | str) -> Path:
    """Write a trained agent. Raises FailedPrecondition for an untrained one, ResourceExhausted for a full disk."""
    import torch

    document = {
        "format": _FORMAT,
        "class": type(agent).__name__,
        "environment": agent.recipe.to_json() if agent.recipe else None,
        "settings": agent.settings,
        "action_names": list(agent.action_names),
    }
    history = {f"history.{name}": torch.tensor(getattr(agent.history, name), dtype=torch.float64) for name in _HISTORY}
    return Archive(_KIND, document, {**agent.policy.weights(), **history}, {}).write(path)


def load(path: Path | str, *, environment: Env | None = None) -> Agent:
    """Read an agent. Raises NotFound, InvalidInput for another kind of file, DataLoss for a damaged one."""
    archive = Archive.read(path, kind=_KIND)
    document = archive.document
    if document.get("format") != _FORMAT:
        raise InvalidInput(f"{Path(path).name} was written by a newer Lepton.", fix="Update lepton-serving.")
    try:
        agent = _make(document, environment)
        policy = agent.read_policy(archive.weights)
        history = _history(archive.weights)
    except (KeyError, TypeError) as error:
        raise DataLoss(f"{Path(path).name} is not a whole agent.", fix="Take a copy that is whole.") from error
    agent.restore(policy, history)
    return agent


def _make(document: Mapping[str, Any], environment: Env | None) -> Agent:
    made = document["environment"]
    if environment is None and made is None:
        raise InvalidInput("The agent's environment has no registered name.", reason="NO_ENVIRONMENT", fix=_GIVE_ONE)
    # "module:Name-v0" makes Gymnasium import a module, which a file may not ask for.
    if environment is None and ":" in made["name"]:
        raise InvalidInput("The agent's environment names a module to import.", reason="NO_ENVIRONMENT", fix=_GIVE_ONE)
    settings = {**document["settings"], "action_names": document["action_names"]}
    make = _class(document["class"])
    if environment is not None:
        return make(environment, **settings)
    return make(made["name"], **settings, **made["options"])


def _class(name: str) -> Callable[..., Agent]:
    # By name and late: DQN needs libraries that take seconds to import.
    home = {"QLearning": "tabular", "Sarsa": "tabular", "DQN": "deep"}[name]
    found: Callable[..., Agent] = getattr(import_module(f"lepton_ai.reinforcement.{home}"), name)
    return found


def _history(weights: Mapping[str, Tensor]) -> History:
    rewards, lengths, epsilons = (weights[f"history.{name}"].tolist() for name in _HISTORY)
    return History(rewards, [int(length) for length in lengths], epsilons)
