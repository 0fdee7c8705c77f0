"""Optimisers by name: those with a kernel of their own give what the others give."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from lepton_ai.errors import InvalidInput
from lepton_ai.training.optimizer_state import give_state, take_state
from lepton_ai.training.optimizers import OPTIMIZERS, make_optimizer


def _train(network: nn.Module, optimizer: torch.optim.Optimizer, *, steps: int) -> None:
    for _ in range(steps):
        loss = network(torch.ones(2, 4)).square().sum()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_kernel_changes_nothing_but_the_time(name: str) -> None:
    network = nn.Linear(4, 3)
    plain = copy.deepcopy(network)
    groups = [{"params": [plain.weight], "weight_decay": 0.01}, {"params": [plain.bias], "weight_decay": 0.0}]

    _train(network, make_optimizer(name, network, learning_rate=0.01, weight_decay=0.01), steps=5)
    _train(plain, OPTIMIZERS[name](groups, 0.01), steps=5)

    torch.testing.assert_close(dict(network.named_parameters()), dict(plain.named_parameters()))


@pytest.mark.parametrize("name", ["adamw", "momentum"])
def test_a_run_that_goes_on_takes_the_same_steps(name: str) -> None:
    network = nn.Linear(4, 3)
    optimizer = make_optimizer(name, network, learning_rate=0.01, weight_decay=0.01)
    _train(network, optimizer, steps=3)
    later = copy.deepcopy(network)
    successor = make_optimizer(name, later, learning_rate=0.01, weight_decay=0.01)
    tensors, numbers = take_state(optimizer)
    give_state(successor, tensors, numbers)

    _train(network, optimizer, steps=3)
    _train(later, successor, steps=3)

    assert torch.equal(network.weight, later.weight)


def test_complex_weights_are_trained_without_the_kernel() -> None:
    network = nn.Linear(4, 3, dtype=torch.complex64)

    optimizer = make_optimizer("adamw", network, learning_rate=0.01, weight_decay=0.0)

    assert not any(group["fused"] for group in optimizer.param_groups)


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match="there is no 'adamm'"):
        make_optimizer("adamm", nn.Linear(1, 1), learning_rate=0.01, weight_decay=0.0)
