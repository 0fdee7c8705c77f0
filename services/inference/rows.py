"""Tensors of one caller as rows of a batch: joining callers into a batch and splitting its answer, on bytes alone."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lepton_ai.dtypes import ELEMENT_BYTES
from lepton_ai.errors import InternalError
from lepton_ai.v1 import preprocess_pb2

LayoutKey = tuple[tuple[str, str, tuple[int, ...]], ...]
"""(name, dtype, shape of one row) of every tensor: rows of equal layout fit into one batch."""


@dataclass(frozen=True, slots=True)
class NamedTensor:
    """One tensor in wire form; the first dimension of `shape` is the batch."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes
    head: bytes = b""
    """The beginning of the content, apart from the rest where joining the two would copy what is large."""

    @property
    def size_bytes(self) -> int:
        """Of the whole content."""
        return len(self.head) + len(self.data)


@dataclass(frozen=True, slots=True)
class Rows:
    """`count` rows of every tensor of a model."""

    count: int
    tensors: tuple[NamedTensor, ...]

    @property
    def layout(self) -> LayoutKey:
        """What must be equal for rows to share a batch."""
        return tuple((tensor.name, tensor.dtype, tensor.shape[1:]) for tensor in self.tensors)

    @property
    def size_bytes(self) -> int:
        """Content of all tensors."""
        return sum(tensor.size_bytes for tensor in self.tensors)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one caller gets: its own rows of the outputs, and how long they took."""

    rows: Rows
    queue_us: int
    compute_us: int
    batch_rows: int
    item: preprocess_pb2.ItemResult | None = None
    """What the pipeline beside the model told of a raw item."""


def join(parts: Sequence[Rows]) -> Rows:
    """All rows of `parts`, in order. The parts must have the same layout."""
    if len(parts) == 1:
        return parts[0]
    count = sum(part.count for part in parts)
    columns = zip(*(part.tensors for part in parts), strict=True)
    return Rows(count, tuple(_concatenate(column, count) for column in columns))


def _concatenate(column: Sequence[NamedTensor], count: int) -> NamedTensor:
    first = column[0]
    content = b"".join(piece for tensor in column for piece in (tensor.head, tensor.data))
    return NamedTensor(first.name, first.dtype, (count, *first.shape[1:]), content)


def split(rows: Rows, counts: Sequence[int]) -> list[Rows]:
    """Cut rows into consecutive parts of these sizes, which must add up to all of them.

    Raises InternalError when a tensor does not have `rows.count` rows: the model broke its promise, and handing out
    anything could give one caller another's rows.
    """
    for tensor in rows.tensors:
        if not tensor.shape or tensor.shape[0] != rows.count:
            raise InternalError(
                f"The model answered output {tensor.name!r} with shape {list(tensor.shape)} for {rows.count} rows.",
                reason="WRONG_ROW_COUNT",
                fix="Its first dimension must be the batch.",
            )
    if len(counts) == 1:
        return [rows]
    columns = [_cut(tensor, counts) for tensor in rows.tensors]
    return [Rows(count, tuple(column[index] for column in columns)) for index, count in enumerate(counts)]


def _cut(tensor: NamedTensor, counts: Sequence[int]) -> list[NamedTensor]:
    offsets = _row_offsets(tensor)
    parts: list[NamedTensor] = []
    row = 0
    for count in counts:
        data = tensor.data[offsets[row] : offsets[row + count]]
        parts.append(NamedTensor(tensor.name, tensor.dtype, (count, *tensor.shape[1:]), data))
        row += count
    return parts


def row_of(tensor: NamedTensor, row: int) -> NamedTensor:
    """One row of a tensor, without the dimension of the batch. Raises InternalError as `split` does."""
    offsets = _row_offsets(tensor)
    return NamedTensor(tensor.name, tensor.dtype, tensor.shape[1:], tensor.data[offsets[row] : offsets[row + 1]])


def _row_offsets(tensor: NamedTensor) -> Sequence[int]:
    """Where each row begins in the content, and where the last one ends."""
    rows, elements = tensor.shape[0], math.prod(tensor.shape[1:])
    if tensor.dtype != "BYTES":
        row_bytes = elements * ELEMENT_BYTES[tensor.dtype]
        _expect(tensor, len(tensor.data) == rows * row_bytes)
        return range(0, rows * row_bytes + 1, row_bytes) if row_bytes else [0] * (rows + 1)
    ends = list(_element_ends(tensor, rows * elements))
    return [0] * (rows + 1) if not elements else [0, *ends[elements - 1 :: elements]]


def _element_ends(tensor: NamedTensor, count: int) -> Iterator[int]:
    offset = 0
    for _ in range(count):
        _expect(tensor, offset + 4 <= len(tensor.data))
        offset += 4 + struct.unpack_from("<I", tensor.data, offset)[0]
        yield offset
    _expect(tensor, offset == len(tensor.data))


def _expect(tensor: NamedTensor, condition: bool) -> None:
    if not condition:
        raise InternalError(
            f"The model answered output {tensor.name!r} with content that does not fit its shape.",
            reason="WRONG_CONTENT_LENGTH",
        )
