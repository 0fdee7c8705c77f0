"""The rows of a call one by one: the raw items, or the rows of its tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.inference.cache.keys import item_fingerprint, item_key, row_fingerprint, row_key
from services.inference.predict.request import Inputs
from services.inference.predict.runtime import ModelRuntime
from services.inference.rows import Rows, join, split

MAX_ROWS = 128
"""A call with more rows is computed: looking for so many would keep others waiting."""


class Units(Protocol):
    """What keys are made of, and what is computed of them."""

    are_items: bool

    @property
    def count(self) -> int: ...
    def fingerprint(self) -> int: ...
    def keys(self, seed: bytes) -> Sequence[bytes]: ...
    def part(self, indices: Sequence[int]) -> Inputs: ...


class Items:
    """Raw items."""

    are_items = True

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._inputs.items)

    def fingerprint(self) -> int:
        """Of the first one."""
        return item_fingerprint(self._inputs.items[0])

    def keys(self, seed: bytes) -> Sequence[bytes]:
        """Of every item, in order."""
        return [item_key(seed, item) for item in self._inputs.items]

    def part(self, indices: Sequence[int]) -> Inputs:
        """Some of them, as a call of their own."""
        items = self._inputs.items
        return Inputs(self._inputs.field, items=[items[index] for index in indices])


class TensorRows:
    """Rows of ready tensors, which must be what the model takes."""

    are_items = False

    def __init__(self, rows: Rows, field: str) -> None:
        self._rows = rows
        self._field = field
        self._parts = split(rows, [1] * rows.count)

    @property
    def count(self) -> int:
        """How many there are."""
        return self._rows.count

    def fingerprint(self) -> int:
        """Of all together."""
        return row_fingerprint(self._rows.tensors)

    def keys(self, seed: bytes) -> Sequence[bytes]:
        """Of every row, in order."""
        return [row_key(seed, row) for row in self._parts]

    def part(self, indices: Sequence[int]) -> Inputs:
        """Some of them, as a call of their own."""
        return Inputs(self._field, tensors=join([self._parts[index] for index in indices]).tensors)


def units_of(inputs: Inputs, runtime: ModelRuntime, *, max_rows: int = MAX_ROWS) -> Units | None:
    """The rows of a call; None where it is left alone: more than `max_rows`, or rows that cannot stand by themselves.

    Raises InvalidInput for tensors that are not what the model takes.
    """
    if inputs.items:
        fits = runtime.loaded.pipeline_proto is not None and len(inputs.items) <= max_rows
        return Items(inputs) if fits else None
    rows = runtime.signature.check(inputs.tensors, field=inputs.field)
    # Where the shape of outputs is free, rows from several computations may not make one tensor.
    joinable = rows.count == 1 or all(min(output.shape[1:], default=0) >= 0 for output in runtime.signature.outputs)
    return TensorRows(rows, inputs.field) if joinable and rows.count <= max_rows else None
