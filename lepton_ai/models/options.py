"""The keyword arguments of `fit` as checked settings, and settings as plain data for the lineage."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import fields
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

import torch
from torch import nn

from lepton_ai.errors import InvalidInput
from lepton_ai.plain import name_of
from lepton_ai.training.callbacks import Callback
from lepton_ai.training.settings import FitSettings

_ELSEWHERE = {
    "lr": "learning_rate",
    "max_epochs": "epochs",
    "validation_data": "validation",
    "validation_split": "validation",
    "verbose": "progress",
}
"""What other libraries call it."""
_RARE_CLASSES = (
    'Use loss="focal", loss=torch.nn.CrossEntropyLoss(weight=…), or repeat the rows of rare classes after the split: '
    "lepton_ai.datasets.augment.oversample(train)."
)
_DIFFERENT = dict.fromkeys(("class_weight", "class_weights", "sample_weight"), _RARE_CLASSES)
"""What other libraries have and is done otherwise here."""
_OF_THIS_RUN = ("callbacks", "checkpoint", "checkpoint_steps", "progress")
"""Settings that do not decide what is learned."""
_NUMBERS = {"int": Integral, "float": Real}


def settings_from(options: Mapping[str, Any]) -> FitSettings:
    """Settings of `fit`. Raises InvalidInput for unknown ones, naming the nearest, and for values of another type."""
    known = {field.name: str(field.type) for field in fields(FitSettings)}
    for name, value in options.items():
        if name not in known:
            raise InvalidInput.of_field(name, "is not a setting of fit", fix=_hint(name, known))
        _check_number(name, value, known[name])
    _check_parts(options)
    return FitSettings(**options)


def _hint(name: str, known: Collection[str]) -> str:
    if name in _DIFFERENT:
        return _DIFFERENT[name]
    near = [_ELSEWHERE[name]] if name in _ELSEWHERE else get_close_matches(name, known, n=1)
    return (f"Did you mean {near[0]}? " if near else "") + f"There are {', '.join(known)}."


def plain_settings(settings: FitSettings) -> dict[str, Any]:
    """What decides the outcome, as JSON data for the lineage; what is not plain is left to its name."""
    names = [field.name for field in fields(settings) if field.name not in _OF_THIS_RUN]
    values = {name: getattr(settings, name) for name in names}
    plain = (str, int, float, bool, type(None))
    return {name: value if isinstance(value, plain) else name_of(value) for name, value in values.items()}


def _check_number(name: str, value: Any, annotation: str) -> None:
    kind, _, rest = annotation.partition(" | ")
    wanted = _NUMBERS.get(kind)
    if wanted is None or (value is None and rest == "None"):
        return
    if type(value) is bool or not isinstance(value, wanted):
        expected = "a whole number" if kind == "int" else "a number"
        raise InvalidInput.of_field(name, f"is {value!r}, must be {expected}{' or None' if rest else ''}")


def _check_parts(options: Mapping[str, Any]) -> None:
    """What would fail with a riddle in the depth of the first step."""
    if isinstance(options.get("optimizer"), torch.optim.Optimizer):
        raise InvalidInput.of_field(
            "optimizer",
            "belongs to other weights already",
            fix="Give a name, a class such as torch.optim.SGD, or a function of (parameter groups, learning rate).",
        )
    loss = options.get("loss")
    if inspect.isclass(loss) and issubclass(loss, nn.Module):
        raise InvalidInput.of_field("loss", "is a class", fix=f"Make one: {loss.__name__}().")
    callbacks = options.get("callbacks", ())
    if not isinstance(callbacks, list | tuple) or not all(isinstance(each, Callback) for each in callbacks):
        raise InvalidInput.of_field(
            "callbacks", "must be a list of lepton_ai.training.callbacks.Callback", fix="Derive a class from it."
        )
