"""Makes a package of an agent: its policy as an ONNX network, the names of its actions, samples of what it does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lepton_ai.reinforcement.agent import Agent
from lepton_ai.reinforcement.policy import Policy

if TYPE_CHECKING:
    from lepton_ai.package import Package

Observations = npt.NDArray[np.generic]

INPUT, OUTPUT = "observation", "action_values"
_MAX_BATCH = 64
_GOLDEN = 5
_SAMPLED_STEPS = 500
_SEED = 0


def package(agent: Agent, directory: Path | str, *, name: str, description: str) -> Package:
    """Write the package. Raises FailedPrecondition for an untrained agent or a directory that is not empty."""
    from lepton_ai.package import write_package

    document = {
        "format": 1,
        "name": name or model_name(agent),
        "description": description or f"{agent.title}: what to do in a state, and what each action is worth.",
        **signature(agent.policy, int(agent.actions.n)),
        "postprocess": [{"op": "argmax", **({"labels": "labels.txt"} if agent.action_names else {})}],
        "golden": golden(agent),
    }
    labels = {"labels.txt": "".join(f"{each}\n" for each in agent.action_names).encode()} if agent.action_names else {}
    return write_package(directory, document, {"model.onnx": export(agent.policy), **labels})


def model_name(agent: Agent) -> str:
    """A name for the registry, after environment and agent: frozenlake-v1-qlearning."""
    environment = agent.recipe.name if agent.recipe else "environment"
    return re.sub(r"[^a-z0-9]+", "-", f"{environment}-{type(agent).__name__}".lower()).strip("-")


def signature(policy: Policy, actions: int) -> dict[str, Any]:
    """What the model takes and gives. The pipeline takes the same tensor, one item at a time, and checks it."""
    step = {"op": "tensor", "dtype": policy.dtype, "shape": list(policy.shape), "output": INPUT}
    return {
        "model": {"file": "model.onnx", "format": "onnx"},
        "inputs": [{"name": INPUT, "dtype": policy.dtype, "shape": [-1, *policy.shape]}],
        "outputs": [{"name": OUTPUT, "dtype": policy.value_dtype, "shape": [-1, actions]}],
        "max_batch_size": _MAX_BATCH,
        "instances": 1,
        "preprocess": {"inputs": {INPUT: "tensor"}, "steps": [step]},
    }


def golden(agent: Agent) -> list[dict[str, Any]]:
    """Samples from an episode of the agent's own, those where the best action is clearest."""
    observations = visited(agent)
    values = agent.action_values(observations)
    ranked = np.sort(values, axis=1)
    clear = np.argsort(ranked[:, -2] - ranked[:, -1], kind="stable")[:_GOLDEN] if values.shape[1] > 1 else [0]
    return [_sample(agent, observations[row], values[row]) for row in clear]


def visited(agent: Agent) -> Observations:
    """The different observations of one episode, in order."""
    seen: dict[bytes, Any] = {}
    observation, _ = agent.environment.reset(seed=_SEED)
    over = False
    while not over and len(seen) < _SAMPLED_STEPS:
        seen.setdefault(np.asarray(observation).tobytes(), observation)
        observation, _, terminated, truncated, _ = agent.environment.step(agent.predict(observation))
        over = terminated or truncated
    return np.asarray(list(seen.values()))


def _sample(agent: Agent, observation: Any, values: npt.NDArray[np.generic]) -> dict[str, Any]:
    tolerance = 1e-4 * max(1.0, float(np.abs(values).max()))
    expected: dict[str, Any] = {"outputs": {OUTPUT: {"values": values.tolist(), "tolerance": tolerance}}}
    if agent.action_names:
        expected["label"] = agent.action_names[int(values.argmax())]
    sent = np.asarray(observation, dtype=np.int64 if agent.policy.dtype == "INT64" else np.float32)
    return {"inputs": {INPUT: {"values": sent.tolist()}}, "expect": expected}


def export(policy: Policy) -> bytes:
    """The policy as an ONNX model for batches of any size."""
    import torch

    from lepton_ai.models.packaging import export_onnx

    dtype = torch.int64 if policy.dtype == "INT64" else torch.float32
    # Two rows: a batch of one would be taken for a constant.
    return export_onnx(policy.module(), [torch.zeros((2, *policy.shape), dtype=dtype)], [INPUT], [OUTPUT])
