"""The last few values of a stream."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass
class Ring:
    """At most `size` numbers, the oldest first."""

    size: int
    count: int = 0
    _kept: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def push(self, value: float) -> None:
        """Add the newest; the oldest goes when there is no room."""
        if len(self._kept) < 2 * self.size:
            self._kept = np.concatenate([self._kept, np.zeros(2 * self.size - len(self._kept))])
        if self.count == len(self._kept):
            self._kept[: self.size - 1] = self._kept[-self.size + 1 :] if self.size > 1 else self._kept[:0]
            self.count = self.size - 1
        self._kept[self.count] = value
        self.count += 1

    @property
    def values(self) -> NDArray[np.float64]:
        """A view, valid until the next push."""
        return self._kept[max(self.count - self.size, 0) : self.count]

    def __len__(self) -> int:
        return min(self.count, self.size)
