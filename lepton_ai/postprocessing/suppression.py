"""Suppression of boxes that mean the same object as a better one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.intp]


def suppress(boxes: Floats, classes: npt.NDArray[np.integer[Any]], limit: float, most: int) -> Indices:
    """Positions of the boxes to keep, at most `most`: greedy non-maximum suppression within each class.

    `boxes` [num, 4] are left, top, right, bottom, best first. One that overlaps a kept one of its class by more than
    `limit` (intersection over union) is dropped.
    """
    if limit >= 1:
        return np.arange(min(len(boxes), most))
    areas = (boxes[:, 2:] - boxes[:, :2]).clip(min=0).prod(axis=1)
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and len(kept) < most:
        best, rest = left[0], left[1:]
        kept.append(int(best))
        corners = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2])
        shared = corners.clip(min=0).prod(axis=1)
        # Multiplied out: boxes without any area overlap nothing.
        overlaps = shared > limit * (areas[best] + areas[rest] - shared)
        left = rest[~(overlaps & (classes[rest] == classes[best]))]
    return np.array(kept, dtype=np.intp)
