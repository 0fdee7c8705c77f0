"""What an optimiser remembers, as tensors by name and numbers: a form that files can hold without pickles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

Numbers = dict[str, dict[str, Any]]
"""By parameter, what is not a tensor; JSON data."""


def take_state(optimizer: Optimizer) -> tuple[dict[str, Tensor], Numbers]:
    """Its state as tensors by "INDEX/NAME", and what is not a tensor. The tensors are the optimiser's own."""
    tensors: dict[str, Tensor] = {}
    numbers: Numbers = {}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{index}/{name}"] = value
            else:
                numbers.setdefault(str(index), {})[name] = value
    return tensors, numbers


def give_state(optimizer: Optimizer, tensors: Mapping[str, Tensor], numbers: Mapping[str, Mapping[str, Any]]) -> None:
    """Put back what `take_state` gave. The optimiser gets copies."""
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in numbers.items()}
    for path, tensor in tensors.items():
        index, name = path.split("/", 1)
        state.setdefault(int(index), {})[name] = tensor.clone()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
