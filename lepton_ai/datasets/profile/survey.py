"""What all checks look at: the data, the counts over all rows, the measured rows, and the data to compare with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lepton_ai.datasets.profile.sample import Rows, Sample
from lepton_ai.datasets.profile.tally import Tally
from lepton_ai.datasets.schema import Column, Schema

if TYPE_CHECKING:
    from lepton_ai.datasets.dataset import Dataset


@dataclass(frozen=True)
class Other:
    """The data that should share nothing with these, usually the test part."""

    name: str
    tally: Tally
    sample: Sample


@dataclass(frozen=True)
class Survey:
    """The material of the checks. They may add notes about what could not be looked at."""

    data: Dataset
    tally: Tally
    sample: Sample
    seed: int = 0
    other: Other | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def schema(self) -> Schema:
        """The columns of the data."""
        return self.data.schema

    @property
    def target(self) -> Column | None:
        """The target, if there is one."""
        return self.data.schema.target

    def inputs(self, *kinds: str) -> Iterator[Column]:
        """The input columns of some kinds."""
        return (column for column in self.schema.inputs if column.kind in kinds)

    def class_ids(self) -> tuple[Rows, tuple[str, ...]] | None:
        """Of every measured row the number of its class, −1 for none; None when the target has no classes."""
        target = self.target
        if target is None or target.kind != "category":
            return None
        names = target.categories or tuple(sorted({name for name in self.sample.categories[target.name] if name}))
        ids = {name: index for index, name in enumerate(names)}
        found = [-1 if name is None else ids.get(name, -1) for name in self.sample.categories[target.name]]
        return np.array(found, dtype=np.int64), names
