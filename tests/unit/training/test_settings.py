"""Settings of a run: values that make no sense are named with what is allowed."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.training import FitSettings
from lepton_ai.training.processes import launch
from tests.unit.training.runs import points, train


@pytest.mark.parametrize(
    ("settings", "allowed"),
    [
        ({"epochs": 0}, "at least 1"),
        ({"learning_rate": -1.0}, "greater than 0"),
        ({"learning_rate": math.nan}, "greater than 0"),
        ({"l1": math.inf}, "finite"),
        ({"clip_norm": math.nan}, "greater than 0, or None"),
        ({"patience": 0}, "greater than 0, or None"),
        ({"label_smoothing": 1.0}, "less than 1"),
        ({"precision": "fp16"}, "bf16-mixed"),
        ({"accelerator": "tpux"}, "cuda"),
        ({"auto": "yes"}, "True or False"),
        ({"schedule": 5}, "a name such as"),
        ({"optimizer": None}, "a name such as"),
        ({"checkpoint": ""}, "a directory"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_is_allowed(settings: dict[str, Any], allowed: str) -> None:
    (name,) = settings
    with pytest.raises(InvalidInput, match=allowed) as error:
        FitSettings(**settings)
    assert [each.field for each in error.value.fields] == [name]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_accelerator_that_is_not_there_is_said_with_what_to_do() -> None:
    with pytest.raises(FailedPrecondition, match="accelerator='cuda'") as error:
        launch(FitSettings(accelerator="cuda"))
    assert "auto" in error.value.fix


def test_a_figure_that_the_run_does_not_have_cannot_be_monitored() -> None:
    with pytest.raises(InvalidInput, match="there is no 'accuracy' in this run") as error:
        train(None, points(), points(seed=1), monitor="accuracy")
    assert "validation_accuracy" in error.value.fix
