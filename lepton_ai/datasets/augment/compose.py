"""Several augmentations as one, and presets by name: what `fit(augment=…)` takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from lepton_ai.datasets.augment.images import Colour, Flip, RandomCrop
from lepton_ai.datasets.augment.sounds import FrequencyMask, Noise, Shift, TimeMask
from lepton_ai.datasets.augment.tables import Jitter
from lepton_ai.datasets.augment.texts import TokenDropout, TokenSwap
from lepton_ai.datasets.augment.warp import Rotate, Scale, join_warps
from lepton_ai.datasets.batch import Augment, Batch
from lepton_ai.errors import InvalidInput
from lepton_ai.plain import name_of

Wanted = Augment | Sequence[Augment] | str | None
"""What a person may give: one, several, the name of a preset, or none."""

PRESETS: dict[str, tuple[Augment, ...]] = {
    "images": (Flip(), RandomCrop(1 / 16), Colour(0.2)),
    "characters": (Rotate(10), Scale(0.1), RandomCrop(1 / 16)),
    "texts": (TokenDropout(0.1), TokenSwap(0.05)),
    "sounds": (Shift(0.1), Noise(), TimeMask(), FrequencyMask()),
    "tables": (Jitter(0.05),),
}
"""Good beginnings. "characters" is for pictures that mean something else when they are mirrored."""


@dataclass(frozen=True)
class Compose:
    """Augmentations one after the other; changes of shape that follow one another cost one resampling."""

    steps: tuple[Augment, ...]

    def __call__(self, batch: Batch, random: np.random.Generator) -> Batch:
        """Raises InvalidInput when a step gives other inputs, other types or another number of rows than it got."""
        for step in cast("list[Augment]", join_warps(self.steps)):
            varied = step(batch, random)
            _check_alike(step, batch, varied)
            batch = varied
        return batch

    def __str__(self) -> str:
        return ", ".join(map(name_of, self.steps))


def make_augment(wanted: Wanted) -> Augment | None:
    """One augmentation of what a person gave; None when there is none. Raises InvalidInput."""
    if wanted is None:
        return None
    if isinstance(wanted, str):
        if wanted not in PRESETS:
            raise InvalidInput.of_field("augment", f"there is no preset {wanted!r}", fix=f"There are {_names()}.")
        return Compose(PRESETS[wanted])
    steps = (wanted,) if callable(wanted) else tuple(wanted)
    for step in steps:
        if isinstance(step, type) or not callable(step):
            name = step.__name__ if isinstance(step, type) else repr(step)
            fix = f"Write {name}()." if isinstance(step, type) else f"Give a list, or one of {_names()}."
            raise InvalidInput.of_field("augment", f"{name} does not change batches", fix=fix)
    return Compose(steps) if steps else None


def _check_alike(step: Augment, before: Batch, after: Batch) -> None:
    kinds = [{name: (len(values), values.dtype) for name, values in batch.inputs.items()} for batch in (before, after)]
    if kinds[0] != kinds[1]:
        raise InvalidInput(
            f"The augmentation {step} gave other inputs, types or numbers of rows than it got.",
            fix="Change the values of a batch only.",
        )


def _names() -> str:
    return ", ".join(PRESETS)
