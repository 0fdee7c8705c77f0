"""Augmentation of texts, as ids of tokens: some unknown, some in another order. Padding stays padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lepton_ai.datasets.augment.inputs import check_within, vary_tokens
from lepton_ai.datasets.batch import Batch

_PADDING, _UNKNOWN = 0, 1
"""As in every vocabulary that a pipeline learned."""


@dataclass(frozen=True)
class TokenDropout:
    """Makes a share of the tokens unknown, so that no single word decides. No text loses all its tokens.

    `keep` are ids that stay, such as those of a token at the start.
    """

    share: float = 0.1
    keep: tuple[int, ...] = ()
    unknown: int = _UNKNOWN
    padding: int = _PADDING

    def __post_init__(self) -> None:
        check_within("share", self.share, 0, 1)

    def __call__(self, batch: Batch, random: np.random.Generator) -> Batch:
        def vary(ids: Tensor) -> Tensor:
            drawn = torch.from_numpy(random.random(tuple(ids.shape), dtype=np.float32) < self.share)
            real = (ids != self.padding) & ~torch.isin(ids, torch.tensor(self.keep, dtype=torch.int64))
            dropped = drawn & real
            dropped &= (dropped != real).any(dim=1, keepdim=True)
            return ids.masked_fill(dropped, self.unknown)

        return vary_tokens(batch, vary)


@dataclass(frozen=True)
class TokenSwap:
    """Makes neighbouring tokens change places; a share `share` of the tokens moves."""

    share: float = 0.1
    keep: tuple[int, ...] = ()
    padding: int = _PADDING

    def __post_init__(self) -> None:
        check_within("share", self.share, 0, 1)

    def __call__(self, batch: Batch, random: np.random.Generator) -> Batch:
        return vary_tokens(batch, lambda ids: self._vary(ids, random))

    def _vary(self, ids: Tensor, random: np.random.Generator) -> Tensor:
        rows, length = ids.shape
        places = torch.arange(length)
        # Pairs are (0, 1), (2, 3) … in some rows and (1, 2), (3, 4) … in the others, so that none overlap.
        odd = torch.from_numpy(random.integers(0, 2, rows)).unsqueeze(1)
        is_first = (places % 2 == odd) & (places < length - 1)
        movable = (ids != self.padding) & ~torch.isin(ids, torch.tensor(self.keep, dtype=torch.int64))
        both = movable & movable.roll(-1, dims=1)
        drawn = torch.from_numpy(random.random((rows, length), dtype=np.float32) < self.share)
        first = is_first & both & drawn
        moves = first.to(torch.int64) - first.roll(1, dims=1).to(torch.int64)
        return ids.gather(1, places + moves)
