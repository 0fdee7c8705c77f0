"""Collects batches into one table: in memory while they fit a budget, in a memory-mapped file when they do not."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from lepton_ai.errors import FailedPrecondition, InvalidInput, ResourceExhausted

MEMORY_BUDGET_BYTES = 512 * 1024 * 1024
"""A table above this is kept in a file and read from there as rows are asked for."""

_BATCH_ROWS = 65_536


def default_cache_directory() -> Path:
    """Where converted and downloaded data is kept when nothing else is said."""
    return Path.home() / ".cache" / "lepton" / "datasets"


class Spool:
    """Write batches, then `finish` into a table. Types may widen from batch to batch (whole → decimal numbers).

    `destination` keeps the result as a file for next time; without it a file is used only above the budget, and has no
    name, so that it goes away with the table. Use as a context manager: leaving removes what is unfinished.
    """

    def __init__(
        self,
        *,
        memory_budget_bytes: int = MEMORY_BUDGET_BYTES,
        directory: Path | None = None,
        destination: Path | None = None,
    ) -> None:
        self._budget_bytes = memory_budget_bytes
        self._directory = destination.parent if destination else directory or default_cache_directory()
        self._destination = destination
        self._batches: list[pa.RecordBatch] = []
        self._held_bytes = 0
        self._segments: list[Path] = []
        self._writer: pa.RecordBatchFileWriter | None = None
        self._schema: pa.Schema | None = None

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_segment()
        for segment in self._segments:
            segment.unlink(missing_ok=True)

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows. Raises ResourceExhausted when the disk is full."""
        if self._segments:
            self._write_out(batch)
            return
        self._batches.append(batch)
        self._held_bytes += batch.nbytes
        if self._held_bytes > self._budget_bytes:
            for held in self._batches:
                self._write_out(held)
            self._batches.clear()

    def finish(self) -> pa.Table:
        """All rows as one table. Raises InvalidInput when a column holds types that do not go together."""
        if not self._segments:
            schema = unify([batch.schema for batch in self._batches])
            return pa.Table.from_batches([cast_batch(batch, schema) for batch in self._batches], schema)
        self._close_segment()
        path = self._segments[0] if len(self._segments) == 1 else self._merge()
        if self._destination is not None:
            path.replace(self._destination)
            return open_table(self._destination)
        table = open_table(path)
        path.unlink()  # the mapping keeps the content until the table is gone
        return table

    def _write_out(self, batch: pa.RecordBatch) -> None:
        try:
            writer = self._writer
            if writer is None or self._schema is None:
                writer = self._open_segment(batch.schema)
            elif batch.schema != self._schema:
                wider = unify([self._schema, batch.schema])
                if wider != self._schema:  # a column of another type: a few times at most
                    writer = self._open_segment(wider)
                batch = cast_batch(batch, wider)
            writer.write_batch(batch)
        except OSError as error:
            raise disk_error(error) from error

    def _open_segment(self, schema: pa.Schema) -> pa.RecordBatchFileWriter:
        self._close_segment()
        self._directory.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".writing-", suffix=".arrow", dir=self._directory)
        os.close(handle)
        self._segments.append(Path(name))
        self._schema = schema
        self._writer = pa.ipc.new_file(name, schema)
        return self._writer

    def _close_segment(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _merge(self) -> Path:
        """Writes all segments again, with types that hold what is in each of them."""
        tables = [open_table(segment) for segment in self._segments]
        schema = unify([table.schema for table in tables])
        try:
            self._open_segment(schema)
            for table in tables:
                for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
                    self._write_out(cast_batch(batch, schema))
        finally:
            self._close_segment()
        return self._segments[-1]


def collect(batches: Iterable[pa.RecordBatch], spool: Spool) -> pa.Table:
    """All batches as one table, by way of a spool."""
    with spool:
        for batch in batches:
            spool.write(batch)
        return spool.finish()


def open_table(path: Path) -> pa.Table:
    """An Arrow IPC file as a memory-mapped table. Raises FailedPrecondition when it is none."""
    try:
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_file(source).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise FailedPrecondition(f"{path.name} is not a whole Arrow file.", fix="Make it again.") from error


def write_table(batches: Iterator[pa.RecordBatch], schema: pa.Schema, path: Path) -> None:
    """Write an Arrow IPC file so that the old one stays whole until the new one is. Raises ResourceExhausted."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".writing-", suffix=".arrow", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                with pa.ipc.new_file(file, schema) as writer:
                    for batch in batches:
                        writer.write_batch(batch)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(error) from error


def unify(schemas: list[pa.Schema]) -> pa.Schema:
    """One schema that holds what each of these holds. Raises InvalidInput naming the column that cannot be."""
    if not schemas:
        return pa.schema([])
    try:
        return pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowTypeError as error:
        raise _mixed(schemas) from error


def no_rows(schema: pa.Schema) -> pa.RecordBatch:
    """A batch that carries nothing but the schema."""
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)


def cast_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch with the columns and types of a wider schema; columns that it lacks are missing values."""
    if batch.schema.equals(schema):
        return batch
    columns = []
    for field in schema:
        index = batch.schema.get_field_index(field.name)
        if index < 0:
            columns.append(pa.nulls(batch.num_rows, field.type))
        else:
            column = batch.column(index)
            columns.append(column if column.type == field.type else column.cast(field.type, safe=False))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _mixed(schemas: list[pa.Schema]) -> InvalidInput:
    for name in dict.fromkeys(name for schema in schemas for name in schema.names):
        alone = [pa.schema([schema.field(name)]) for schema in schemas if name in schema.names]
        try:
            pa.unify_schemas(alone, promote_options="permissive")
        except pa.ArrowTypeError:
            types = sorted({str(schema.field(name).type) for schema in alone} - {"null"})
            fix = "Give all its values one type."
            return InvalidInput.of_field(name, f"holds {' and '.join(types)}", fix=fix, reason="MIXED_TYPES")
    return InvalidInput("The rows have columns of types that do not go together.", reason="MIXED_TYPES")


def disk_error(error: OSError) -> FailedPrecondition | ResourceExhausted:
    """The error for a failed write: full, or not allowed."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceExhausted("The disk is full.", reason="DISK_FULL", fix="Make room, or name another directory.")
    return FailedPrecondition(f"The data cannot be written: {error.strerror}.", fix="Name a directory to write to.")
