"""The keyword arguments of `fit` as checked settings, and settings as plain data for the lineage."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

import torch
from torch import nn

from lepton_ai.errors import InvalidInput
from lepton_ai.models.fitting.habits import FIT, METRICS
from lepton_ai.plain import name_of
from lepton_ai.training.settings import FitSettings
from lepton_ai.training.tasks import Task

_OF_FIT = ("validation", "augment", "class_weight", "sample_weight", "metrics", "thresholds")
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
    near = get_close_matches(name, [*known, *_OF_FIT, *FIT], n=1)
    return (f"Did you mean {near[0]}? " if near else "") + f"There are {', '.join(known)}."


def plain_settings(settings: FitSettings) -> dict[str, Any]:
    """What decides the outcome, as JSON data for the lineage; what is not plain is left to its name."""
    names = [field.name for field in fields(settings) if field.name not in _OF_THIS_RUN]
    values = {name: getattr(settings, name) for name in names}
    plain = (str, int, float, bool, type(None))
    return {name: value if isinstance(value, plain) else name_of(value) for name, value in values.items()}


def check_metrics(wanted: Iterable[Any], task: Task) -> None:
    """Raises InvalidInput for a figure that there is not. All that a task has are in the history anyhow."""
    known = task.metrics()
    for each in wanted:
        name = METRICS.get(each.lower(), each.lower()) if isinstance(each, str) else each
        if name not in known and name not in ("loss", task.main_metric):
            raise InvalidInput.of_field(
                "metrics",
                f"there is no {each!r} for {task.name}",
                fix=f"There are {', '.join(known) or 'none'}, always; others are computed from what predict answers.",
            )


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
