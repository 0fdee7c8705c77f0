"""What users of Keras, scikit-learn, Lightning and PyTorch write by habit, and what it means here.

A habit that means one thing is taken; one that does not is refused with the words that say it here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import wraps
from inspect import signature
from typing import Any, NoReturn, ParamSpec, TypeVar

from lepton_ai.errors import InvalidInput
from lepton_ai.models.fitting.callbacks import as_callbacks

P = ParamSpec("P")
R = TypeVar("R")


METRICS = {
    "acc": "accuracy",
    "categorical_accuracy": "accuracy",
    "sparse_categorical_accuracy": "accuracy",
    "binary_accuracy": "accuracy",
    "f1_score": "f1",
    "f1_macro": "f1",
    "roc_auc": "auc",
    "mse": "rmse",
    "mean_squared_error": "rmse",
    "root_mean_squared_error": "rmse",
    "mean_absolute_error": "mae",
    "r2_score": "r2",
}
"""What other libraries call it; of a squared error the root is shown."""


def _itself(name: str, value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Means:
    """Another name for an argument of ours; `value` makes ours of (their name, their value)."""

    ours: str
    value: Callable[[str, Any], Any] = _itself


@dataclass(frozen=True)
class Nothing:
    """An argument that asks for what is so anyhow, when it is one of these; with another value it is refused."""

    values: tuple[Any, ...] | None = None
    """None: whatever it is."""
    otherwise: str = ""


@dataclass(frozen=True)
class Refused:
    """An argument that has no counterpart: what to write instead."""

    fix: str


Habit = Means | Nothing | Refused


def _progress(name: str, verbose: Any) -> bool:
    return verbose in ("auto", None) or bool(verbose)


def _share(name: str, share: Any) -> Any:
    """0 and None put nothing aside."""
    return share or None


def _pair(name: str, data: Any) -> Any:
    """Validation data, which some libraries take as a list of pairs, and Keras with weights."""
    if isinstance(data, list) and len(data) == 1 and isinstance(data[0], tuple):
        data = data[0]
    if isinstance(data, list) and len(data) == 2 and all(hasattr(each, "shape") for each in data):
        data = tuple(data)
    if isinstance(data, tuple) and len(data) != 2:
        raise InvalidInput.of_field(name, f"has {len(data)} parts, must be (inputs, targets)")
    return data


def _precision(name: str, precision: Any) -> Any:
    return _PRECISIONS.get(str(precision), precision)


def _lower(name: str, value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _listed(name: str, value: Any) -> Any:
    return [value] if isinstance(value, str) else value or ()


def _monitor(name: str, figure: Any) -> Any:
    if not isinstance(figure, str) or not figure.startswith("val_"):
        return figure
    name = figure.removeprefix("val_")
    return f"validation_{METRICS.get(name, name)}"


_PRECISIONS = {"16": "16-mixed", "32": "32-true", "64": "64-true", "bf16": "bf16-mixed"}
_BATCHES = Refused("Every epoch takes all rows once, in batches of batch_size: give fewer rows, data[:n].")
_STOPPING = Refused("Say after how many epochs without improvement: patience=…")
_SINGLE_PROCESS = Refused("Data is prepared in threads of its own; for several processes start it with torchrun.")

FIT: Mapping[str, Habit] = {
    "X": Means("data"),
    "x": Means("data"),
    "train_data": Means("data"),
    "train_dataloaders": Means("data"),
    "train_loader": Means("data"),
    "y": Means("targets"),
    "target": Means("targets"),
    "validation_data": Means("validation", _pair),
    "val_data": Means("validation", _pair),
    "val_dataloaders": Means("validation", _pair),
    "val_loader": Means("validation", _pair),
    "eval_set": Means("validation", _pair),
    "validation_split": Means("validation", _share),
    "validation_fraction": Means("validation", _share),
    "max_epochs": Means("epochs"),
    "max_iter": Means("epochs"),
    "n_epochs": Means("epochs"),
    "nb_epoch": Means("epochs"),
    "num_epochs": Means("epochs"),
    "num_train_epochs": Means("epochs"),
    "lr": Means("learning_rate"),
    "learning_rate_init": Means("learning_rate"),
    "criterion": Means("loss"),
    "loss_fn": Means("loss"),
    "class_weights": Means("class_weight"),
    "sample_weights": Means("sample_weight"),
    "threshold": Means("thresholds"),
    "verbose": Means("progress", _progress),
    "enable_progress_bar": Means("progress", _progress),
    "random_state": Means("seed"),
    "gradient_clip_val": Means("clip_norm"),
    "clipnorm": Means("clip_norm"),
    "accumulate_grad_batches": Means("accumulate"),
    "early_stopping_rounds": Means("patience"),
    "n_iter_no_change": Means("patience"),
    "device": Means("accelerator"),
    "precision": Means("precision", _precision),
    "optimizer": Means("optimizer", _lower),
    "metrics": Means("metrics", _listed),
    "monitor": Means("monitor", _monitor),
    "callbacks": Means("callbacks", as_callbacks),
    "shuffle": Nothing((True,), "Rows are taken in another order in every epoch; for a series there is Forecaster."),
    "initial_epoch": Nothing((0,), "To go on after a kill give checkpoint=DIRECTORY; fit goes on with its weights."),
    "validation_freq": Nothing((1,), "Every epoch is validated."),
    "validation_batch_size": Nothing(),
    "num_workers": Nothing(),
    "workers": Nothing(),
    "use_multiprocessing": Nothing((False,), _SINGLE_PROCESS.fix),
    "devices": Nothing((1, "auto"), _SINGLE_PROCESS.fix),
    "early_stopping": Nothing((False,), _STOPPING.fix),
    "tol": _STOPPING,
    "steps_per_epoch": _BATCHES,
    "validation_steps": _BATCHES,
    "max_steps": _BATCHES,
    "alpha": Refused("For a penalty on weights give weight_decay or l2."),
    "solver": Refused('Choose it by its name: optimizer="adamw", "adam", "sgd" ….'),
    "logger": Refused("Loggers are callbacks: callbacks=[lepton_ai.training.TensorBoardLogger(DIRECTORY)]."),
}
"""Of `fit`; `compile` takes those that are settings."""

_SAID_NOTHING = Nothing()
EVALUATE: Mapping[str, Habit] = {
    "X": Means("data"),
    "x": Means("data"),
    "y": Means("targets"),
    "verbose": _SAID_NOTHING,
    "return_dict": _SAID_NOTHING,  # what comes is a pair and has its figures by name as well
    "steps": _BATCHES,
    "sample_weight": Refused('Mark the column of a data set: data.schema.with_roles(NAME="weight").'),
}
PREDICT: Mapping[str, Habit] = {
    "X": Means("inputs"),
    "x": Means("inputs"),
    "verbose": _SAID_NOTHING,
    "batch_size": _SAID_NOTHING,
    "steps": _BATCHES,
}
MODEL: Mapping[str, str] = {
    "hidden_layer_sizes": "hidden",
    "hidden_size": "hidden",
    "hidden_sizes": "hidden",
    "hidden_units": "hidden",
    "units": "hidden",
    "num_layers": "layers",
    "classes": "num_classes",
    "n_classes": "num_classes",
    "num_labels": "num_classes",
    "drop_rate": "dropout",
    "nonlinearity": "activation",
    "random_state": "seed",
}
"""Arguments of constructors, which take no other names than their own."""
ATTRIBUTES: Mapping[str, str] = {
    "to": 'The device is a setting of fit: accelerator="cuda".',
    "cuda": 'The device is a setting of fit: accelerator="cuda".',
    "cpu": "After fit the network is on the CPU.",
    "eval": "predict and evaluate do this themselves; the module is model.network.",
    "parameters": "They are the module's: model.network.parameters().",
    "forward": "PyTorch's module is model.network; predict takes examples.",
    "fit_transform": "Preparing is part of fit, and of predict.",
    "transform": "predict prepares its inputs; model.pipeline.run(example) gives the tensors.",
    "predict_classes": "Names are each.label for each in predict(X), numbers predict(X).scores.argmax(axis=1).",
    "set_weights": "Load them into the module: model.network.load_state_dict(weights).",
    "load_state_dict": "Load them into the module: model.network.load_state_dict(weights).",
    "load_weights": "A file of `save` is read by la.load(path).",
    "save_weights": "save(path) writes weights and all that belongs to them.",
    "save_pretrained": "Did you mean save(path)?",
    "export": "Did you mean to_onnx(path), or package(directory, name=…)?",
    "classes_": "There are none before fit, nor where no classes are learned.",
    "get_params": "Arguments of the constructor are model.config.",
    "__sklearn_tags__": "To cross-validate: lepton_ai.training.cross_validate(lambda: MLP(…), (X, y)).",
    "set_params": "Make another one: arguments belong to the constructor, settings to fit.",
    "partial_fit": "fit goes on with the weights that it has.",
    "train_on_batch": "fit goes on with the weights that it has: fit(batch, epochs=1).",
    "fit_generator": "fit takes iterables as they are.",
    "validate": "Did you mean evaluate?",
    "test": "Did you mean evaluate?",
    "build": "The network is built by the first fit.",
    "add": "Layers of your own are a torch.nn.Module: la.wrap(module).",
    "push": "Did you mean la.deploy(model, name=…)?",
    "deploy": "Did you mean la.deploy(model, name=…)?",
}
"""Methods that models do not have."""


def accept(given: Mapping[str, Any], habits: Mapping[str, Habit]) -> dict[str, Any]:
    """The arguments with names and values of ours.

    Raises InvalidInput for what has no counterpart, and for the same thing said twice.
    """
    accepted: dict[str, Any] = {name: value for name, value in given.items() if name not in habits}
    for name, value in given.items():
        habit = habits.get(name)
        if isinstance(habit, Refused):
            raise InvalidInput.of_field(name, "is no argument here", fix=habit.fix)
        if isinstance(habit, Nothing):
            if habit.values is not None and value not in habit.values:
                raise InvalidInput.of_field(name, f"is {value!r}, which cannot be chosen", fix=habit.otherwise)
        elif habit is not None:
            if habit.ours in accepted:
                raise InvalidInput.of_field(name, f"says the same as {habit.ours}", fix="Give one of them.")
            accepted[habit.ours] = habit.value(name, value)
    return accepted


def taking(habits: Mapping[str, Habit]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A method that takes its keyword arguments by these habits as well."""

    def decorate(method: Callable[P, R]) -> Callable[P, R]:
        @wraps(method)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            return method(*args, **accept(kwargs, habits))

        return called

    return decorate


def check_arguments(model: type, given: Mapping[str, Any]) -> None:
    """Raises InvalidInput for an argument that the constructor does not have, naming the one that is meant."""
    parameters = signature(model).parameters.values()
    known = [each.name for each in parameters]
    strange = next((name for name in given if name not in known), None)
    if strange is None or any(each.kind is each.VAR_KEYWORD for each in parameters):
        return
    meant = MODEL.get(strange, "")
    near = [meant] if meant in known else get_close_matches(strange, known, n=1)
    hint = f"Did you mean {near[0]}? " if near else "Give fit what is about training. " if strange in FIT else ""
    fix = f"{hint}There are {', '.join(known)}."
    raise InvalidInput.of_field(strange, f"is no argument of {model.__name__}", fix=fix)


class UnknownAttribute(InvalidInput, AttributeError):
    """A method that other libraries have, as Python reports it: `hasattr` is false."""


def refuse_attribute(model: object, name: str) -> NoReturn:
    """Raises AttributeError, for a method of other libraries with what to do instead."""
    owner = type(model).__name__
    if name in ATTRIBUTES:
        raise UnknownAttribute(f"{owner} has no {name!r}", reason="UNKNOWN_METHOD", fix=ATTRIBUTES[name])
    raise AttributeError(f"{owner!r} object has no attribute {name!r}", name=name, obj=model)
