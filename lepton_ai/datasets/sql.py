"""The answer of an SQL query as a data set: streamed from the database, in bounded memory, within a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.lineage import Lineage
from lepton_ai.datasets.memory import batch_of
from lepton_ai.datasets.schema import Schema
from lepton_ai.datasets.spool import MEMORY_BUDGET_BYTES, Spool, collect
from lepton_ai.errors import DeadlineExceeded, FailedPrecondition, InvalidInput, NotFound, Unavailable

_BATCH_ROWS = 2048


def read_sql(
    query: str,
    url: str,
    params: Mapping[str, Any] | None = None,
    *,
    target: str | None = None,
    timeout_s: float = 600.0,
    memory_budget_bytes: int = MEMORY_BUDGET_BYTES,
    cache_directory: str | Path | None = None,
) -> Dataset:
    """A data set of what a query answers: `read_sql("SELECT * FROM t WHERE age > :age", "sqlite:///a.db", {"age": 3})`.

    `url` is an SQLAlchemy URL, `params` fill the `:name` places of the query, so that values are never pasted into it.
    Nothing is committed. Above the budget the rows are kept in a file. Raises InvalidInput for a wrong query or URL,
    NotFound for an SQLite file that is not there, Unavailable when the database does not answer, and DeadlineExceeded
    when the whole takes longer than `timeout_s`; then the query is stopped.
    """
    engine = _engine(url)
    directory = Path(cache_directory) if cache_directory is not None else None
    spool = Spool(memory_budget_bytes=memory_budget_bytes, directory=directory)
    try:
        table = collect(_batches(engine, query, dict(params or {}), timeout_s), spool)
    finally:
        engine.dispose()
    database = Path(engine.url.database or engine.url.drivername).stem
    lineage = Lineage(source=f"query of {engine.url.get_backend_name()} {database}: {query.strip()}")
    return Dataset(table, Schema.infer(table, target), name=database, lineage=lineage)


def _engine(url: str) -> sa.Engine:
    try:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
    except (ArgumentError, NoSuchModuleError) as error:
        raise InvalidInput.of_field(
            "url", "is not the URL of a database", fix="Write dialect://user:password@host/database."
        ) from error
    except ImportError as error:
        driver = sa.make_url(url).drivername
        raise FailedPrecondition(
            f"The driver of {driver} is not installed.", reason="MISSING_PACKAGE", fix="Install it with pip."
        ) from error
    file = engine.url.database if engine.url.get_backend_name() == "sqlite" else None
    if file and not file.startswith((":memory:", "file:")) and not Path(file).is_file():  # connecting would make one
        raise NotFound(f"There is no SQLite file {file}.", fix="Check the path after sqlite:///.")
    return engine


def _batches(engine: sa.Engine, query: str, params: dict[str, Any], timeout_s: float) -> Iterator[pa.RecordBatch]:
    deadline = time.monotonic() + timeout_s
    with _translated(deadline, timeout_s), engine.connect() as connection, _stopped_after(connection, timeout_s):
        streaming = connection.execution_options(stream_results=True, yield_per=_BATCH_ROWS)
        result = streaming.execute(sa.text(query), params)
        if not result.returns_rows:
            raise InvalidInput.of_field("query", "answers no rows", fix="Write a SELECT.")
        names = _names(list(result.keys()))
        first_row = 0
        for partition in result.partitions(_BATCH_ROWS):
            if time.monotonic() > deadline:
                raise _late(timeout_s)
            yield batch_of([dict(zip(names, row, strict=True)) for row in partition], first_row=first_row)
            first_row += len(partition)
        if not first_row:
            yield pa.RecordBatch.from_arrays([pa.nulls(0) for _ in names], names=names)


def _names(names: list[str]) -> list[str]:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InvalidInput.of_field(name, "the query answers two columns of this name", fix="Rename one with AS.")
    return names


@contextmanager
def _stopped_after(connection: sa.Connection, timeout_s: float) -> Iterator[None]:
    """Stops the query in the database itself, where the driver has a way to: it may never give a first row."""
    driver: Any = connection.connection.dbapi_connection
    stop = getattr(driver, "interrupt", None) or getattr(driver, "cancel", None)
    if stop is None:
        yield
        return
    timer = threading.Timer(timeout_s, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@contextmanager
def _translated(deadline: float, timeout_s: float) -> Iterator[None]:
    """Errors of the database as Lepton's; without the parameters, and without the URL, which may hold a password."""
    try:
        yield
    except SQLAlchemyError as error:
        if time.monotonic() >= deadline:
            raise _late(timeout_s) from error
        if isinstance(error, DBAPIError):
            text = str(error.orig)
            if error.connection_invalidated or error.statement is None:
                fix = "Check that it runs, and its address, user and password."
                raise Unavailable(f"The database does not answer: {text}", fix=fix) from error
            raise InvalidInput.of_field("query", f"the database refuses it: {text}", fix="Check the query.") from error
        raise InvalidInput.of_field("query", str(error).splitlines()[0], fix="Check the query and params.") from error


def _late(timeout_s: float) -> DeadlineExceeded:
    return DeadlineExceeded(f"The query took longer than {timeout_s:g} s.", fix="Ask for less, or raise timeout_s.")
