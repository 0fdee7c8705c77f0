"""How far the outputs of two versions are from one another. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lepton_ai.tensors import from_wire
from services.inference.rows import NamedTensor, Rows

FARTHEST = 2.0
"""Opposite outputs; also the distance of outputs that cannot be compared, as they differ in name, type or shape."""
Distances = npt.NDArray[np.float64]


def row_distances(returned: Rows, other: Rows) -> Sequence[float]:
    """For each row the greatest distance of any output, from 0 (equal) to 2.

    Numbers: the length of the difference relative to the longer of both, as vectors. Whole numbers, truth values and
    texts: the share of the elements that differ.
    """
    if other.count != returned.count or returned.layout != other.layout:
        return [FARTHEST] * returned.count
    distances = np.zeros(returned.count)
    for ours, theirs in zip(returned.tensors, other.tensors, strict=True):
        distances = np.maximum(distances, _of_tensor(ours, theirs, returned.count))
    return [float(each) for each in distances]


def _of_tensor(ours: NamedTensor, theirs: NamedTensor, rows: int) -> Distances:
    mine, other = _content(ours), _content(theirs)
    if mine == other:
        return np.zeros(rows)
    if ours.dtype == "BF16":
        return _of_numbers(*(_of_bf16(each).reshape(rows, -1) for each in (mine, other)))
    a, b = (from_wire(ours.dtype, ours.shape, each).reshape(rows, -1) for each in (mine, other))
    if a.dtype.kind != "f":
        return np.asarray((a != b).mean(axis=1), dtype=np.float64)
    return _of_numbers(a, b)


def _of_numbers(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic]) -> Distances:
    x, y = a.astype(np.float64), b.astype(np.float64)
    same = (x == y) | (np.isnan(x) & np.isnan(y))  # equal infinities, too
    x, y = (np.where(same & ~np.isfinite(each), 0.0, each) for each in (x, y))
    lengths = np.maximum(np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        distances = np.linalg.norm(x - y, axis=1) / lengths
    distances = np.where(same.all(axis=1), 0.0, distances)
    return np.asarray(np.where(np.isfinite(distances), distances, FARTHEST), dtype=np.float64)


def _of_bf16(content: bytes) -> npt.NDArray[np.generic]:
    """A BF16 number is the upper half of a 32-bit one."""
    return (np.frombuffer(content, np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)


def _content(tensor: NamedTensor) -> bytes:
    return tensor.head + tensor.data if tensor.head else tensor.data
