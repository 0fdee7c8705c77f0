"""Small tables with a class that one of their columns decides."""

from __future__ import annotations

import numpy as np

from lepton_ai.datasets import Dataset, from_rows


def table(rows: int = 120, *, groups: int = 10, rare: int = 0) -> Dataset:
    """Columns a, b, 组 (which of some groups) and the target 类; `rare` rows are of a third class."""
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 2))
    data = from_rows(
        {
            "a": float(x[row, 0]),
            "b": float(x[row, 1]),
            "组": f"g{row % groups}",
            "类": "rare" if row < rare else "是" if x[row, 0] > 0 else "no",
        }
        for row in range(rows)
    )
    return data.with_schema(data.schema.with_kinds(类="category").with_roles(类="target", 组="ignore"))
