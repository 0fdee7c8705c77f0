"""Losses by name."""

from __future__ import annotations

import pytest
import torch

from lepton_ai.datasets.batch import Batch
from lepton_ai.training.losses import LOSSES, make_loss
from lepton_ai.training.tasks import Regression


def test_the_log_cosh_of_large_errors_is_finite_and_has_a_slope() -> None:
    errors = torch.tensor([0.0, 0.1, -3.0, 80.0, 5e4, -5e4], requires_grad=True)
    losses = LOSSES["log_cosh"](errors, torch.zeros(6), reduction="none")
    exact = torch.logaddexp(errors.double(), -errors.double()) - torch.tensor(2.0).double().log()
    torch.testing.assert_close(losses.double(), exact, rtol=1e-5, atol=1e-6)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    assert errors.grad is not None
    torch.testing.assert_close(errors.grad, errors.tanh().detach())


@pytest.mark.parametrize("name", ["mse", "MSE", "Mean_Squared_Error", "l2"])
def test_names_of_losses_are_those_of_other_libraries_in_any_case(name: str) -> None:
    batch = Batch({}, {"values": torch.tensor([[1.0], [5.0]])})
    assert make_loss(name, Regression(0.0, 1.0))({"values": torch.tensor([[1.0], [3.0]])}, batch) == 2.0
