"""What people type who come from Keras, scikit-learn, Lightning or PyTorch: taken, or answered with the right word."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.models import CNN, GRU, MLP
from lepton_ai.models.fitting.habits import FIT, Means, accept
from lepton_ai.training.history import History

pd: Any = pytest.importorskip("pandas")  # comes with the packages of the ready data sets
X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


def fit(**options: Any) -> MLP:
    model = MLP((4,))
    model.fit(**{"data": X, "targets": Y, "progress": False, "epochs": 1, **options})
    return model


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"lr": 0.1}, {"learning_rate": 0.1}),
        ({"max_epochs": 3}, {"epochs": 3}),
        ({"num_epochs": 3}, {"epochs": 3}),
        ({"validation_data": (X, Y)}, {"validation": (X, Y)}),
        ({"eval_set": [(X, Y)]}, {"validation": (X, Y)}),
        ({"validation_split": 0.2}, {"validation": 0.2}),
        ({"validation_split": 0.0}, {"validation": None}),
        ({"verbose": 0}, {"progress": False}),
        ({"verbose": 2}, {"progress": True}),
        ({"verbose": "auto"}, {"progress": True}),
        ({"shuffle": True}, {}),
        ({"validation_batch_size": 8, "workers": 4}, {}),
        ({"x": X, "y": Y}, {"data": X, "targets": Y}),
        ({"class_weights": "balanced"}, {"class_weight": "balanced"}),
        ({"gradient_clip_val": 1.0}, {"clip_norm": 1.0}),
        ({"precision": 16}, {"precision": "16-mixed"}),
        ({"precision": "bf16-true"}, {"precision": "bf16-true"}),
        ({"validation_data": [X, Y]}, {"validation": (X, Y)}),
        ({"monitor": "val_loss"}, {"monitor": "validation_loss"}),
        ({"monitor": "val_acc"}, {"monitor": "validation_accuracy"}),
        ({"optimizer": "Adam"}, {"optimizer": "adam"}),
        ({"metrics": "acc"}, {"metrics": ["acc"]}),
        ({"epochs": 2}, {"epochs": 2}),
    ],
)
def test_what_means_one_thing_is_taken(said: dict[str, Any], meant: dict[str, Any]) -> None:
    assert accept(said, FIT) == meant


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"shuffle": False}, "shuffle: is False, which cannot be chosen. Rows are taken in another order"),
        ({"steps_per_epoch": 9}, r"steps_per_epoch: is no argument here. .*data\[:n\]"),
        ({"early_stopping": True}, "patience=…"),
        ({"solver": "lbfgs"}, "optimizer="),
        ({"lr": 0.1, "learning_rate": 0.1}, "lr: says the same as learning_rate. Give one of them"),
        ({"validation_data": (X, Y), "validation_split": 0.1}, "validation_split: says the same as validation"),
        ({"validation_data": (X, Y, Y)}, r"validation_data: has 3 parts, must be \(inputs, targets\)"),
    ],
)
def test_what_does_not_is_refused_with_what_to_write(said: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        accept(said, FIT)


def test_every_name_of_another_library_leads_to_an_argument_that_there_is() -> None:
    ours = {"data", "targets", "validation", "class_weight", "sample_weight", "thresholds", "metrics"}
    settings = {"epochs", "learning_rate", "loss", "progress", "seed", "clip_norm", "accumulate", "patience"}
    settings |= {"accelerator", "precision", "monitor", "callbacks", "optimizer"}
    assert {habit.ours for habit in FIT.values() if isinstance(habit, Means)} == ours | settings


def test_a_call_as_in_keras_trains() -> None:
    model: Any = MLP((4,))  # type checkers know our own names only
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x=X, y=Y, validation_data=(X, Y), epochs=2, batch_size=8, verbose=0, shuffle=True)
    assert model.lineage["settings"]["optimizer"] == "adam"
    assert history.history["val_accuracy"] == history["validation_accuracy"] == history["val_accuracy"]
    assert set(history.history) >= {"loss", "val_loss", "val_accuracy"}
    figures = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert figures["accuracy"] == figures[1] == dict(figures)["accuracy"]
    assert np.argmax(model.predict(X, verbose=0), axis=1).shape == (40,)


def test_the_target_may_be_named() -> None:
    table = pd.DataFrame(X, columns=list("abc")).assign(cls=Y)
    assert fit(data=table, targets="cls").predict(table[:1])[0].label in ("0", "1")
    model = MLP((4,))
    model.fit(table, target="cls", epochs=1, progress=False)
    assert model.classes_ == ("0", "1")
    with pytest.raises(InvalidInput, match=r"clas: there is no such column. Did you mean 'cls'"):
        fit(data=table, targets="clas")


@pytest.mark.parametrize("metrics", [["accuracy"], ["acc", "f1", "AUC"], "f1", ["loss"]])
def test_metrics_are_those_that_there_are(metrics: Any) -> None:
    assert len(fit(metrics=metrics).history) == 1


def test_other_metrics_are_refused_before_anything_is_trained() -> None:
    model = MLP((4,))
    with pytest.raises(InvalidInput, match=r"metrics: there is no 'precision' for classification. There are accuracy"):
        model.fit(X, Y, metrics=["precision"])
    assert model.task is None
    model.compile(metrics=["mae"])
    with pytest.raises(InvalidInput, match="there is no 'mae'"):
        model.fit(X, Y)


@pytest.mark.parametrize(
    "loss", ["sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy", "CrossEntropyLoss"]
)
def test_losses_have_their_names_of_other_libraries(loss: str) -> None:
    assert fit(loss=loss).history["loss"] == fit().history["loss"]


@pytest.mark.parametrize("loss", ["mse", "mean_squared_error", "mae"])
def test_a_loss_of_numbers_on_classes_is_refused_with_what_to_do(loss: str) -> None:
    with pytest.raises(InvalidInput, match=f"'{loss}' does not go with classification") as caught:
        fit(loss=loss)
    assert caught.value.reason == "LOSS_MISFIT"
    assert "cross_entropy" in caught.value.fix
    assert 'task="regression"' in caught.value.fix
    model = MLP((4,), task="regression")
    model.fit(X, Y, loss=loss, epochs=1, progress=False)
    assert isinstance(model.predict(X[0]).value, float)


def test_a_binary_loss_is_for_two_classes() -> None:
    with pytest.raises(InvalidInput, match="'bce' does not go with classification"):
        fit(targets=np.arange(40) % 3, loss="bce")


@pytest.mark.parametrize(
    ("family", "given", "told"),
    [
        (MLP, {"hidden_layer_sizes": (8,)}, "hidden_layer_sizes: is no argument of MLP. Did you mean hidden?"),
        (MLP, {"random_state": 0}, "Did you mean seed?"),
        (MLP, {"lr": 0.1}, "lr: is no argument of MLP. Give fit what is about training"),
        (CNN, {"n_classes": 3}, "n_classes: is no argument of CNN. Did you mean num_classes?"),
        (GRU, {"num_layers": 2}, "Did you mean layers?"),
        (MLP, {"activation": "swish"}, "activation: is 'swish', must be one of relu"),
    ],
)
def test_constructors_name_the_argument_that_is_meant(family: Any, given: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(told)):
        family(**given)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "gelu"])
def test_the_activation_is_a_choice(activation: str) -> None:
    model = MLP((4,), activation=activation)
    model.fit(X, Y, epochs=1, progress=False)
    kinds = {type(module).__name__.lower() for module in model.network.modules()}
    assert activation in kinds
    assert "relu" not in kinds


@pytest.mark.parametrize("method", ["to", "parameters", "get_params", "fit_transform", "load_weights", "export"])
def test_methods_of_other_libraries_are_missing_as_python_expects_with_what_to_do(method: str) -> None:
    model = MLP()
    assert not hasattr(model, method)
    with pytest.raises(AttributeError, match=f"MLP has no '{method}'") as caught:
        getattr(model, method)
    assert isinstance(caught.value, InvalidInput)
    assert caught.value.fix


def test_a_model_is_not_called() -> None:
    with pytest.raises(InvalidInput, match=r"is not called. model.predict\(X\).*model.network\(tensor\)"):
        MLP()(X)  # type: ignore[operator]


def test_figures_of_another_librarys_names_are_those_of_ours() -> None:
    history = History([{"loss": 1.0, "validation_loss": 2.0}])
    assert history.history == {"loss": [1.0], "val_loss": [2.0]}
