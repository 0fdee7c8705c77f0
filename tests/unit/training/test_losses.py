"""Losses by name: what they are for small errors and for huge ones."""

from __future__ import annotations

import pytest
import torch

from lepton_ai.datasets.batch import Batch
from lepton_ai.training.losses import LOSSES, make_loss
from lepton_ai.training.tasks import Regression


@pytest.mark.parametrize("error", [0.0, 0.5, -3.0])
def test_log_cosh_is_the_logarithm_of_the_hyperbolic_cosine(error: float) -> None:
    loss = LOSSES["log_cosh"](torch.tensor([error]), torch.tensor([0.0]))
    assert float(loss) == pytest.approx(float(torch.tensor(error).cosh().log()), abs=1e-6)


def test_log_cosh_of_a_huge_error_is_finite_and_about_as_large() -> None:
    output = torch.tensor([1e6], requires_grad=True)
    loss = LOSSES["log_cosh"](output, torch.tensor([0.0]))
    (gradient,) = torch.autograd.grad(loss, output)
    assert float(loss.detach()) == pytest.approx(1e6, rel=1e-5)
    assert float(gradient) == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["mse", "MSE", "Mean_Squared_Error", "l2"])
def test_names_of_losses_are_those_of_other_libraries_in_any_case(name: str) -> None:
    batch = Batch({}, {"values": torch.tensor([[1.0], [5.0]])})
    assert make_loss(name, Regression(0.0, 1.0))({"values": torch.tensor([[1.0], [3.0]])}, batch) == 2.0
