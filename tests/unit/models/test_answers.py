"""What a model answers where its scores are no numbers: what a served copy of it answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lepton_ai.datasets import from_arrays
from lepton_ai.errors import FailedPrecondition
from lepton_ai.models import MLP
from lepton_ai.models.answers import answer_rows
from lepton_ai.pipeline import Processed
from lepton_ai.training.tasks import Classification


class Logarithm(nn.Module):
    """NaN for what is negative."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.log(x)


def rows(*values: list[float]) -> list[Processed]:
    return [Processed({"x": np.array(each, np.float32)}, []) for each in values]


def test_scores_that_are_no_numbers_are_the_error_of_their_example_alone() -> None:
    task = Classification(("blau", "grün", "rot"))
    good, bad, other = answer_rows(Logarithm(), task, rows([1, 2, 5], [-1, 2, 5], [5, 2, 1]))
    assert (good.label, good.error, other.label, other.error) == ("rot", None, "blau", None)
    assert isinstance(bad.error, FailedPrecondition)
    assert (bad.error.reason, bad.labels, bad.label) == ("NOT_A_NUMBER", (), "")
    assert np.isnan(bad.outputs["logits"][0]), "tensors hold what there is"


def test_a_single_example_raises_and_broken_weights_choose_no_golden_samples() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 3)).astype(np.float32)
    model = MLP()
    model.fit(x, (x[:, 0] > 0).astype(int), epochs=1, progress=False)
    assert model.golden
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.fill_(float("nan"))
    with pytest.raises(FailedPrecondition, match="not all numbers"):
        model.predict(x[0])
    assert [each.error is None for each in model.predict(x[:2])] == [False, False]
    assert model.choose_golden(from_arrays(x, np.zeros(len(x), dtype=int))) == []
