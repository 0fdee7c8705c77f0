"""Random numbers that a seed decides, for models that make something of noise."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from lepton_ai.pipeline.operation import Call, Spec, ValueOperation, expect

_MAX_SEED = 2**53
"""Up to here a double, as which numbers travel, holds every whole number."""


class DrawNoise(ValueOperation):
    """Draws normally distributed numbers that a seed decides."""

    name: ClassVar[str] = "draw_noise"
    size: Annotated[int, Field(ge=1, le=1_000_000)] = Field(description="How many numbers.")

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        expect(given[0], "number")
        return (Spec("tensor", "FP32", (self.size,), channel_axis=0),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        seed = values[0]
        if seed is None or not float(seed).is_integer() or not 0 <= seed <= _MAX_SEED:
            raise call.refusal(
                "is not a seed", reason="NOT_A_SEED", fix=f"Send a whole number from 0 to {_MAX_SEED} as the seed."
            )
        return (draw_noise(int(seed), self.size),)


def draw_noise(seed: int, size: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """`size` numbers by Box and Muller (1958) from the uniform ones of Philox (Salmon et al. 2011).

    Not numpy's own normal numbers: how it makes these may change from one of its versions to the next.
    """
    uniform = np.random.Philox(key=seed).random_raw(2 * size).astype(np.float64) / 2.0**64
    radius = np.sqrt(-2.0 * np.log1p(-np.minimum(uniform[:size], 1 - 2.0**-53)))
    return np.asarray(radius * np.cos(2 * np.pi * uniform[size:]), dtype=np.float32)
