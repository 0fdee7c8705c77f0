"""Structured pruning: whole channels go, with all that depends on them (torch-pruning's dependency graph)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from lepton_ai.errors import InvalidInput
from lepton_ai.installed import need
from lepton_ai.models.packaging import example_batch
from lepton_ai.models.structure.changes import RESIZED
from lepton_ai.optimize.finetuning import copied, tune

if TYPE_CHECKING:
    from lepton_ai.models.model import Model
    from lepton_ai.optimize.candidate import Value
    from lepton_ai.optimize.methods import Workpiece

_SHARE = 0.3
_ROUND_TO = 4
"""Kernels take channels in such groups at least."""


def prune_channels(model: Model, piece: Workpiece, parameters: Mapping[str, Value]) -> Model:
    """A model without the `share` of its channels that have the smallest norm over all that hangs on them, trained on.

    Raises InvalidInput for a network whose layers cannot be followed, or that has none to lose;
    FailedPrecondition where torch-pruning is not installed.
    """
    changed = copied(model)
    assert changed.pipeline is not None  # noqa: S101 - it was trained
    before = _size(changed.network)
    example = example_batch(changed.pipeline.outputs)
    cut_channels(changed.network, example, share=float(parameters.get("share", _SHARE)))
    if _size(changed.network) == before:
        raise InvalidInput("This network has no channels to lose.", reason="NOTHING_TO_PRUNE")
    if RESIZED not in changed.structure:
        changed.structure.append(RESIZED)
    return tune(changed, piece, epochs=int(parameters.get("epochs", 0)))


def cut_channels(network: nn.Module, example: list[torch.Tensor], *, share: float) -> None:
    """Remove channels in place; the widths of inputs and outputs stay. Raises InvalidInput."""
    need("torch_pruning", "Pruning channels")
    import torch_pruning

    if not 0 < share < 1:
        raise InvalidInput.of_field("share", f"is {share:g}, must be between 0 and 1")
    network.eval()
    last = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d | nn.Conv1d)][-1:]
    try:
        pruner = torch_pruning.pruner.BasePruner(
            network,
            example[0] if len(example) == 1 else tuple(example),
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=share,
            ignored_layers=last,
            round_to=_ROUND_TO,
        )
        pruner.step()
        with torch.inference_mode():
            network(*example)
    except Exception as error:  # whatever it meets in a network that it cannot follow
        text = str(error).partition("\n")[0][:200]
        raise InvalidInput(f"The channels of this network cannot be pruned: {text}", reason="NOT_PRUNABLE") from error


def _size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
