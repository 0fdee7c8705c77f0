"""Randomness as a function of where a run is, so that one which goes on after a kill draws what it would have drawn."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from lepton_ai.tensors import Array


def seed_of(*place: int) -> int:
    """64 bits for a place in a run (seed, epoch, step …), without likeness between neighbours."""
    return int.from_bytes(hashlib.blake2b(repr(place).encode(), digest_size=8).digest(), "little")


def generator_of(*place: int) -> np.random.Generator:
    """NumPy's randomness for a place in a run."""
    return np.random.Generator(np.random.Philox(key=seed_of(*place)))


def row_order(rows: int, *, seed: int, epoch: int) -> Array:
    """In which order an epoch sees the rows."""
    return generator_of(seed, epoch).permutation(rows)


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed what networks draw from. `torch.manual_seed` does the same for every kind of device, 100 times slower."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
