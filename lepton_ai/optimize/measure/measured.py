"""All figures of a variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lepton_ai.optimize.measure.accuracy import Accuracy
from lepton_ai.optimize.measure.intervals import Estimate
from lepton_ai.optimize.measure.speed import Load, Speed


@dataclass(frozen=True)
class Measured:
    """Figures of a variant on this machine, beside the original's."""

    speeds: tuple[Speed, ...]
    """The first is the load that counts."""
    accuracy: Accuracy
    size_bytes: int
    memory_bytes: int
    """What loading and running the model takes at most; 0 where the kernel does not count it."""
    original_size_bytes: int

    @property
    def speed(self) -> Speed:
        """Under the load that counts."""
        return self.speeds[0]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Measured:
        """What `dataclasses.asdict` made of one."""
        accuracy = document["accuracy"]
        estimates = {name: Estimate(**accuracy[name]) for name in ("loss", "agreement")}
        return cls(
            speeds=tuple(_speed(each) for each in document["speeds"]),
            accuracy=Accuracy(**{**accuracy, **estimates}),
            size_bytes=document["size_bytes"],
            memory_bytes=document["memory_bytes"],
            original_size_bytes=document["original_size_bytes"],
        )


def _speed(document: Mapping[str, Any]) -> Speed:
    return Speed(**{**document, "load": Load(**document["load"]), "ratio": Estimate(**document["ratio"])})
