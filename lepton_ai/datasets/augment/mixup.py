"""Mixup: every row is blended with another one, and the loss is taken to both rows' targets."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lepton_ai.datasets.augment.inputs import in_type
from lepton_ai.datasets.batch import Batch, Mixed
from lepton_ai.errors import InvalidInput


@dataclass(frozen=True)
class Mixup:
    """Blends every row with another of its batch, λ : 1 − λ, λ ~ Beta(alpha, alpha), once a batch (Zhang et al. 2018).

    The loss is λ times that to the row's own targets plus 1 − λ times that to the other's, whatever the loss is. For
    inputs of numbers: pictures, spectrograms, tables; ids of tokens cannot be blended.
    """

    alpha: float = 0.2

    def __post_init__(self) -> None:
        if not self.alpha > 0:
            raise InvalidInput.of_field("alpha", f"is {self.alpha}, must be greater than 0")

    def __call__(self, batch: Batch, random: np.random.Generator) -> Batch:
        """Raises InvalidInput for ids, and for a batch that is mixed already."""
        if batch.mixed is not None:
            raise InvalidInput("A batch can be mixed once.", fix="Give Mixup once.")
        share = float(random.beta(self.alpha, self.alpha))
        share = max(share, 1 - share)  # the row's own part is the larger one
        others = torch.from_numpy(random.permutation(len(batch)))
        inputs = {name: _blended(name, values, others, share) for name, values in batch.inputs.items()}
        targets = {name: values[others] for name, values in batch.targets.items()}
        return replace(batch, inputs=inputs, mixed=Mixed(targets, share))


def _blended(name: str, values: Tensor, others: Tensor, share: float) -> Tensor:
    if not (values.is_floating_point() or values.dtype == torch.uint8):
        raise InvalidInput.of_field(name, "holds ids, which cannot be blended", fix="Leave Mixup out.")
    own = values.to(torch.float32)
    return in_type(torch.lerp(own[others], own, share), values)
