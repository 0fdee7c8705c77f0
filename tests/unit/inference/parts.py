"""Small parts that tests of the data plane share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from opentelemetry.trace import Tracer

from lepton_ai.mesh.tracing import Tracing
from lepton_ai.tensors import Array, to_wire
from services.inference.batching.batcher import Batcher
from services.inference.batching.flight import Departure, Flight
from services.inference.rows import NamedTensor, Rows
from services.inference.triton.backend import InferenceBackend
from services.inference.version import LoadedVersion


@dataclass(frozen=True)
class Described:
    name: str
    dtype: str
    shape: Sequence[int]


@dataclass(frozen=True)
class Description:
    name: str = "affine"
    inputs: Sequence[Described] = (Described("x", "FP32", (-1, 2)),)
    outputs: Sequence[Described] = (Described("y", "FP32", (-1, 2)),)
    max_batch_size: int = 8


def loaded_version(
    *, max_batch_size: int = 8, instances: int = 1, wide_threads: int = 1, description: Description | None = None
) -> LoadedVersion:
    description = description or Description(max_batch_size=max_batch_size)
    return LoadedVersion(
        model=description.name,
        version=3,
        triton_name=f"{description.name}--v3",
        description=description,
        max_batch_size=description.max_batch_size,
        instances=instances,
        wide_threads=wide_threads,
    )


def named(name: str, array: Array) -> NamedTensor:
    dtype, shape, data = to_wire(array)
    return NamedTensor(name, dtype, tuple(shape), data)


def rows_of(*values: float) -> Rows:
    """One row [value, -value] of input x for each value."""
    array = np.array([[value, -value] for value in values], dtype=np.float32).reshape(-1, 2)
    return Rows(len(values), (named("x", array),))


def values_in(rows: Rows) -> list[float]:
    """The values that went in, from what FakeTriton's affine model answered."""
    (tensor,) = rows.tensors
    array = np.frombuffer(tensor.data, dtype=np.float32).reshape(tensor.shape)
    np.testing.assert_allclose(array[:, 1] - 1, -(array[:, 0] - 1))
    values: list[float] = ((array[:, 0] - 1) / 2).tolist()
    return values


def in_seconds(seconds: float) -> float:
    """A deadline so far from now."""
    return time.monotonic() + seconds


class Reports:
    """Remembers what a batcher tells."""

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self.batch_rows: list[int] = []
        self.departures: list[Departure] = []

    def batch_done(self, _: LoadedVersion, flight: Flight, __: float) -> None:
        self.batch_rows.append(flight.rows)
        self.departures.append(flight.departure)


NO_TRACING = Tracing("test", ratio=0.0, on_end=None)


def make_batcher(
    backend: InferenceBackend,
    loaded: LoadedVersion | None = None,
    *,
    tracer: Tracer | None = None,
    reports: Reports | None = None,
) -> Batcher:
    loaded, reports = loaded or loaded_version(), reports or Reports()
    loaded.on_failure = reports.failures.append
    return Batcher(
        loaded,
        backend,
        tracer=tracer or NO_TRACING.tracer,
        batch_done=reports.batch_done,
    )
