"""Optimisers by name. The names are those of torch.optim in lower case, and "momentum"."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from lepton_ai.errors import InvalidInput

OptimizerFactory = Callable[[Iterable[dict[str, Any]], float], Optimizer]
"""Makes an optimiser of parameter groups and a learning rate; each group has its own "weight_decay"."""

OPTIMIZERS: dict[str, OptimizerFactory] = {
    "sgd": lambda groups, rate: torch.optim.SGD(groups, lr=rate),
    "momentum": lambda groups, rate: torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True),
    "adam": lambda groups, rate: torch.optim.Adam(groups, lr=rate),
    "adamw": lambda groups, rate: torch.optim.AdamW(groups, lr=rate),
    "nadam": lambda groups, rate: torch.optim.NAdam(groups, lr=rate, decoupled_weight_decay=True),
    "radam": lambda groups, rate: torch.optim.RAdam(groups, lr=rate, decoupled_weight_decay=True),
    "rmsprop": lambda groups, rate: torch.optim.RMSprop(groups, lr=rate),
    "adagrad": lambda groups, rate: torch.optim.Adagrad(groups, lr=rate),
}

_WITH_KERNEL = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
"""Those that have a fused kernel on every kind of device."""


def make_optimizer(
    wanted: str | OptimizerFactory, network: nn.Module, *, learning_rate: float, weight_decay: float
) -> Optimizer:
    """The optimiser for what is trainable in a network. Biases and norms, which have one dimension, do not decay.

    Raises InvalidInput for an unknown name or a network without anything to train.
    """
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not trainable:
        raise InvalidInput("Nothing in the network can be trained.", fix="Unfreeze a part of it.")
    groups: list[dict[str, Any]] = [
        {"params": [each for each in trainable if each.ndim > 1], "weight_decay": weight_decay},
        {"params": [each for each in trainable if each.ndim <= 1], "weight_decay": 0.0},
    ]
    filled = [group for group in groups if group["params"]]
    if not isinstance(wanted, str):
        return wanted(filled, learning_rate)
    if wanted not in OPTIMIZERS:
        raise InvalidInput.of_field("optimizer", f"there is no {wanted!r}", fix=f"There are {', '.join(OPTIMIZERS)}.")
    return _fused(OPTIMIZERS[wanted](filled, learning_rate), trainable)


def _fused(optimizer: Optimizer, parameters: list[nn.Parameter]) -> Optimizer:
    """With the kernel that updates a weight in one pass, where there is one: a quarter of the time for small weights.

    Set here and not in the constructor, which would also claim to scale gradients back, which Fabric does.
    """
    if isinstance(optimizer, _WITH_KERNEL) and all(each.is_floating_point() for each in parameters):
        for group in optimizer.param_groups:
            group["fused"] = True
    return optimizer
