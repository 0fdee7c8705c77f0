"""NaN and infinity: where in a step they came up first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lepton_ai.datasets.batch import Batch
from lepton_ai.training.callbacks import TrainingState
from lepton_ai.training.doctor.finding import Finding, Remedy
from lepton_ai.training.doctor.signs import norms

CAUSE = "not a number"
_NAMED = 10


def find_origin(state: TrainingState) -> Finding:
    """Say where what is not finite came from, after a step whose loss or gradients were not.

    The order is that of cause and effect: rows, weights, layers (the failing batches are run once more, with hooks),
    the loss, gradients.
    """
    for tensors, what in ((_inputs, "input"), (_targets, "target")):
        for index, batch in enumerate(state.batches):
            found = _rows_not_finite(state, index, tensors(batch))
            if found:
                return _data_finding(what, found)
    weight = next((name for name, each in state.network.named_parameters() if not _is_finite(each)), None)
    if weight is not None:
        return _weight_finding(weight)
    layer = next(filter(None, (_first_layer(state, batch) for batch in state.batches)), None)
    if layer is not None:
        return _layer_finding(state, layer)
    return _gradient_finding(state)


def has_finite_weights(network: nn.Module) -> bool:
    """Whether the weights can still be trained."""
    return all(math.isfinite(norm) for norm in norms(list(network.parameters())))


def _data_finding(what: str, found: Mapping[str, list[int]]) -> Finding:
    name, rows = next(iter(found.items()))
    named = ", ".join(str(row) for row in rows[:_NAMED]) + (" …" if len(rows) > _NAMED else "")
    cleaning = "data.clean()" if what == "target" else 'data.clean(missing="drop")'
    return Finding(
        CAUSE,
        f"The {what} {name!r} itself is not finite in {len(rows)} rows of the training data (rows {named}).",
        f"Look at these rows: data.profile() finds such values, {cleaning} removes them. When they come from "
        "augment, look there.",
        {"rows": rows, what: name},
        Remedy.ROLL_BACK,
    )


def _weight_finding(name: str) -> Finding:
    return Finding(
        CAUSE,
        f"The weights are not finite any more, {name} first: an earlier step was too large.",
        "Lower the learning rate (a tenth is a good try) and set clip_norm=1.0; auto=True goes back by itself.",
        {"weight": name},
        Remedy.ROLL_BACK,
    )


def _layer_finding(state: TrainingState, layer: str) -> Finding:
    rows = [int(row) for rows in state.rows for row in rows]
    return Finding(
        CAUSE,
        f"Layer {layer} is the first to give something that is not finite, from finite inputs (epoch {state.epoch}, "
        f"step {state.step + 1}).",
        "Look for a division, root, logarithm or exponential there; keep their arguments away from 0 and from large "
        "values, or lower the learning rate. With 16 bits, try bf16-mixed.",
        {"layer": layer, "rows": rows},
        Remedy.ROLL_BACK,
    )


def _gradient_finding(state: TrainingState) -> Finding:
    weights = state.network.named_parameters()
    bad = [name for name, each in weights if each.grad is not None and not _is_finite(each.grad)]
    rows = [int(row) for rows in state.rows for row in rows]
    where = f"the gradient of {bad[-1]} is not" if bad else "the loss is not, or that of another process"
    return Finding(
        CAUSE,
        f"All layers give finite values, {where} (epoch {state.epoch}, step {state.step + 1}).",
        "Look at the loss: a logarithm of 0, a root at 0 or a division by 0 does this, so add a small number there. "
        "When it grew before, the steps are too large: lower the learning rate (a tenth is a good try).",
        {"gradients": bad, "rows": rows},
        Remedy.ROLL_BACK,
    )


def _rows_not_finite(state: TrainingState, index: int, tensors: Mapping[str, Tensor]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not _is_finite(tensor):
            bad = ~torch.isfinite(tensor).flatten(1).all(1) if tensor.ndim > 1 else ~torch.isfinite(tensor)
            places = np.flatnonzero(bad.cpu().numpy())
            rows = state.rows[index] if index < len(state.rows) else np.arange(len(tensor))
            found[name] = [int(row) for row in rows[places]]
    return found


def _first_layer(state: TrainingState, batch: Batch) -> str | None:
    """Run a batch again and name the innermost layer that makes something infinite out of finite inputs."""
    if state.run is None:
        return None
    found: list[str] = []
    with _unchanged(state.network), _watched(state.network, found), torch.no_grad():
        state.run(batch)
    return found[0] if found else None


@contextmanager
def _unchanged(network: nn.Module) -> Iterator[None]:
    """Running statistics are afterwards what they were."""
    before = [buffer.clone() for buffer in network.buffers()]
    try:
        yield
    finally:
        for buffer, value in zip(network.buffers(), before, strict=True):
            buffer.copy_(value)


@contextmanager
def _watched(network: nn.Module, found: list[str]) -> Iterator[None]:
    names = {module: name or type(module).__name__ for name, module in network.named_modules()}

    def look(module: nn.Module, inputs: Any, output: Any) -> None:
        if not _all_finite(output) and _all_finite(inputs):
            found.append(f"{names[module]} ({type(module).__name__})")

    handles = [module.register_forward_hook(look) for module in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _all_finite(values: Any) -> bool:
    if isinstance(values, Tensor):
        return _is_finite(values)
    if isinstance(values, Mapping):
        return all(_all_finite(each) for each in values.values())
    if isinstance(values, tuple | list):
        return all(_all_finite(each) for each in values)
    return True


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


def _inputs(batch: Batch) -> Mapping[str, Tensor]:
    return batch.inputs


def _targets(batch: Batch) -> Mapping[str, Tensor]:
    return batch.targets
