"""Unstructured pruning: ever more of the smallest weights are zero while the network trains on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lepton_ai.errors import InvalidInput
from lepton_ai.optimize.finetuning import copied, tune
from lepton_ai.training.callbacks import Callback, TrainingState

if TYPE_CHECKING:
    from lepton_ai.models.model import Model
    from lepton_ai.optimize.candidate import Value
    from lepton_ai.optimize.methods import Workpiece

_SHARE = 0.9
_EPOCHS = 10
_RAMP = 0.6
"""Share of the run in which the zeros grow; in the rest the others settle."""
_LEAST_WEIGHTS = 512


def prune_weights(model: Model, piece: Workpiece, parameters: Mapping[str, Value]) -> Model:
    """A model with the `share` of its weights of least magnitude at zero, trained on with them at zero.

    ONNX Runtime computes with zeros as with other numbers: what this saves is space, see `prune.sparse_file`.
    """
    share = float(parameters.get("share", _SHARE))
    if not 0 < share < 1:
        raise InvalidInput.of_field("share", f"is {share:g}, must be between 0 and 1")
    changed = copied(model)
    sparsity = Sparsity(share)
    # The best epoch would be one before the zeros are all there.
    return tune(changed, piece, epochs=int(parameters.get("epochs", _EPOCHS)), callbacks=[sparsity], keep_best=False)


class Sparsity(Callback):
    """Keeps a growing share of every large weight at zero, by the cubic schedule of Zhu and Gupta (2017)."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._masks: dict[str, Tensor] = {}

    def on_batch_end(self, state: TrainingState) -> None:
        wanted = self.share_at(state.step / max(1, _RAMP * state.total_steps))
        for name, weight in large_weights(state.network).items():
            with torch.no_grad():
                if name not in self._masks or float((~self._masks[name]).float().mean()) < wanted:
                    self._masks[name] = _kept(weight, wanted)
                weight.mul_(self._masks[name])

    def share_at(self, progress: float) -> float:
        """The share that is zero at a part of the ramp from 0 to 1, and after it."""
        return self._share * (1 - (1 - min(1.0, progress)) ** 3)


def large_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """Matrices and filters, by name; vectors are few and matter much."""
    return {
        name: weight
        for name, weight in network.named_parameters()
        if weight.ndim > 1 and weight.numel() >= _LEAST_WEIGHTS
    }


def _kept(weight: Tensor, share: float) -> Tensor:
    """True where a weight stays: all but the smallest."""
    count = int(share * weight.numel())
    if count == 0:
        return torch.ones_like(weight, dtype=torch.bool)
    threshold = weight.abs().flatten().kthvalue(count).values
    return weight.abs() > threshold
