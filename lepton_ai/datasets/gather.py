"""Rows of a table by number, batch by batch, without copying the table: what makes a shuffled 10 GB file usable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

BATCH_ROWS = 1024

Indices = npt.NDArray[np.int64]


def batches_of(table: pa.Table, indices: Indices | None, *, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """The rows of a table in order, or those of `indices` in theirs."""
    if indices is None:
        yield from (batch for batch in table.to_batches(max_chunksize=batch_rows) if batch.num_rows)
        return
    pieces = [batch for batch in table.to_batches() if batch.num_rows]
    starts = np.cumsum([0, *(piece.num_rows for piece in pieces)])
    for start in range(0, len(indices), batch_rows):
        yield _gather(pieces, starts, indices[start : start + batch_rows])


def row_of(table: pa.Table, index: int) -> pa.RecordBatch:
    """One row."""
    return table.slice(index, 1).combine_chunks().to_batches()[0]


def _gather(pieces: Sequence[pa.RecordBatch], starts: Indices, wanted: Indices) -> pa.RecordBatch:
    """Takes piece by piece, because Arrow's own take may first join all pieces of a table into one."""
    of_piece = np.searchsorted(starts, wanted, side="right") - 1
    taken = []
    order = np.argsort(of_piece, kind="stable")
    for piece in np.unique(of_piece):
        within = wanted[of_piece == piece] - starts[piece]
        taken.append(pieces[piece].take(pa.array(within)))
    if len(taken) == 1:
        return taken[0]
    joined = pa.Table.from_batches(taken).combine_chunks().to_batches()[0]
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return joined.take(pa.array(back))
