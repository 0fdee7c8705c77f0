"""Runs a function over many things in Ray's processes, through Ray Data: results in order, Ray's own messages quiet."""

from __future__ import annotations

import copyreg
import io
import logging
import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pyarrow as pa

from lepton_ai.errors import FailedPrecondition, LeptonError

T = TypeVar("T")
R = TypeVar("R")

_WINDOW_BYTES = 256 * 1024 * 1024
_WINDOW_THINGS = 256


def ray_in_order(function: Callable[[T], R], things: Iterable[T], *, workers: int | None = None) -> Iterator[R]:
    """`map(function, things)` in up to `workers` tasks of the Ray that runs, or of one that is started here.

    Things are handed over in windows of bounded size, so that neither side need fit into memory. What the function
    raises is raised here: a LeptonError as it is, others as FailedPrecondition that names them.
    """
    _start()
    code = _dumps(function)
    for window in _windows(things):
        for succeeded, result in _run(code, window, workers):
            if not succeeded:
                raise result
            yield result


class _Work:
    """What a Ray task does with a block: the function for every thing, errors as values."""

    def __init__(self, code: bytes) -> None:
        self._code = code

    def __call__(self, block: pa.Table) -> pa.Table:
        function = pickle.loads(self._code)  # noqa: S301 - made by this program, a moment ago
        results = [_dumps(_attempt(function, thing)) for thing in block["thing"].to_pylist()]
        return pa.table({"place": block["place"], "result": pa.array(results, pa.large_binary())})


def _attempt(function: Callable[[Any], Any], thing: bytes) -> tuple[bool, Any]:
    try:
        return True, function(pickle.loads(thing))  # noqa: S301 - made by this program, a moment ago
    except LeptonError as error:
        return False, error
    except Exception as error:  # noqa: BLE001 - carried to the caller, whose function it is
        text = f"The function raised {type(error).__name__}: {error}"
        return False, FailedPrecondition(text, reason="FUNCTION_FAILED", fix="Try it on data.row(0) first.")


def _run(code: bytes, window: list[bytes], workers: int | None) -> list[tuple[bool, Any]]:
    """The outcomes of a window. Raises FailedPrecondition when Ray itself fails."""
    from ray.exceptions import RayError

    try:
        with _quiet():
            parts = _blocks(code, window, workers)
    except RayError as error:
        raise FailedPrecondition(
            f"Ray did not finish the work: {type(error).__name__}.",
            reason="RAY_FAILED",
            fix="Look at Ray's log, or leave engine out.",
        ) from error
    parts.sort(key=lambda part: part[0])
    return [pickle.loads(result) for _, result in parts]  # noqa: S301 - made by this program's own tasks


def _blocks(code: bytes, window: list[bytes], workers: int | None) -> list[tuple[int, bytes]]:
    import ray.data as ray_data

    context = ray_data.DataContext.get_current()
    before = context.enable_progress_bars, context.execution_options.preserve_order
    context.enable_progress_bars, context.execution_options.preserve_order = False, True
    table = pa.table({"place": range(len(window)), "thing": pa.array(window, pa.large_binary())})
    try:
        data = ray_data.from_arrow([table.slice(place, 1) for place in range(len(window))]).map_batches(
            _Work(code).__call__, batch_size=None, batch_format="pyarrow", zero_copy_batch=True, concurrency=workers
        )
        parts: list[tuple[int, bytes]] = []
        for block in data.iter_batches(batch_size=None, batch_format="pyarrow"):
            made: Any = block  # typed as any of Ray's formats
            parts += zip(made["place"].to_pylist(), made["result"].to_pylist(), strict=True)
        return parts
    finally:
        context.enable_progress_bars, context.execution_options.preserve_order = before


def _windows(things: Iterable[T]) -> Iterator[list[bytes]]:
    window: list[bytes] = []
    size_bytes = 0
    for thing in things:
        window.append(_dumps(thing))
        size_bytes += len(window[-1])
        if size_bytes >= _WINDOW_BYTES or len(window) >= _WINDOW_THINGS:
            yield window
            window, size_bytes = [], 0
    if window:
        yield window


def _dumps(value: object) -> bytes:
    """By value, also functions of the main program; of a slice of a table only what it shows."""
    from ray import cloudpickle

    untyped: Any = cloudpickle
    buffer = io.BytesIO()
    pickler = untyped.CloudPickler(buffer)
    pickler.dispatch_table = {**copyreg.dispatch_table, **pickler.dispatch_table, pa.RecordBatch: _reduce_batch}
    pickler.dump(value)
    return buffer.getvalue()


def _reduce_batch(batch: pa.RecordBatch) -> tuple[Callable[[bytes], pa.RecordBatch], tuple[bytes]]:
    return _from_ipc, (_to_ipc(batch),)


def _to_ipc(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _from_ipc(data: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_next_batch()


def _start() -> None:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise FailedPrecondition(
            'engine="ray" needs Ray, which is not installed.',
            reason="MISSING_PACKAGE",
            fix="pip install 'lepton-serving[ray]'",
        ) from error
    with _quiet():
        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Ray's warnings and progress notes are about its workings, not about the data."""
    loggers = [logging.getLogger(name) for name in ("ray", "ray.data")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
