"""What `fit` may be told: settings by their names, with values that make sense."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lepton_ai.errors import InvalidInput
from lepton_ai.models import MLP
from lepton_ai.training.callbacks import Callback, TrainingState

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)


def fit(**options: Any) -> MLP:
    model = MLP((4,))
    model.fit(X, Y, progress=False, **{"epochs": 1, **options})
    return model


@pytest.mark.parametrize(
    ("option", "meant"),
    [("batch_sise", "batch_size"), ("validation_dta", "validation_data"), ("class_wieght", "class_weight")],
)
def test_a_name_that_is_misspelt_leads_to_the_right_one(option: str, meant: str) -> None:
    with pytest.raises(InvalidInput, match=f"{option}: is not a setting of fit. Did you mean {meant}?"):
        fit(**{option: 1})


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("epochs", "10", "must be a whole number"),
        ("epochs", 1.5, "must be a whole number"),
        ("batch_size", True, "must be a whole number"),
        ("learning_rate", "fast", "must be a number"),
        ("patience", "3", "must be a whole number or None"),
        ("optimizer", torch.optim.SGD([torch.nn.Parameter(torch.ones(1))]), "belongs to other weights.*a class"),
        ("loss", torch.nn.CrossEntropyLoss, r"is a class. Make one: CrossEntropyLoss\(\)"),
        ("callbacks", print, "must be a list"),
        ("callbacks", [3], "no callback of Lepton.*Derive a class from lepton_ai.training.Callback"),
        ("callbacks", [Callback], r"Callback is a class. Make one: Callback\(…\)"),
        ("validation", 1.5, "a share between 0 and 1"),
        ("validation", True, "a share between 0 and 1"),
    ],
)
def test_values_that_make_no_sense_are_refused_by_name(name: str, value: object, told: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name}: .*{told}"):
        fit(**{name: value})


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "sgd", "loss": "focal"},
        {"optimizer": torch.optim.SGD, "loss": torch.nn.CrossEntropyLoss()},
        {
            "optimizer": lambda groups, rate: torch.optim.Adam(groups, lr=rate),
            "loss": "cross_entropy",
        },
        {"epochs": np.int64(1), "learning_rate": 1, "clip_norm": None, "validation": 0},
    ],
)
def test_optimisers_and_losses_come_by_name_class_or_function(options: dict[str, Any]) -> None:
    assert len(fit(**options).history) == 1


def test_callbacks_follow_the_run() -> None:
    class Count(Callback):
        epochs = 0

        def on_epoch_end(self, state: TrainingState) -> None:
            self.epochs += 1

    count = Count()
    fit(epochs=3, callbacks=[count])
    assert count.epochs == 3


def test_a_single_row_of_a_class_is_refused_with_what_fit_can_do() -> None:
    labels = ["多"] * 39 + ["少"]
    with pytest.raises(InvalidInput, match=r"only one row is '少'.*validation data of your own or None"):
        MLP().fit(X, labels)
    model = MLP((4,))
    model.fit(X, labels, validation=None, epochs=1, progress=False)
    assert model.predict(X[0]).label in ("多", "少")


def test_one_class_only_is_refused() -> None:
    with pytest.raises(InvalidInput, match="one class only"):
        MLP().fit(X, ["一"] * 40)


def test_data_that_cannot_be_learned_from_leaves_the_model_as_it_was() -> None:
    model = MLP((4,))
    with pytest.raises(InvalidInput):
        model.fit(X, [np.nan, *([0.5] * 39)])
    assert model.pipeline is None
    model.fit(X, Y, epochs=1, progress=False)
    assert model.predict(X[0]).label in ("0", "1")
