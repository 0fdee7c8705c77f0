"""What a version has done so far, in the terms of Triton's statistics extension."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the buckets of a request's time."""


@dataclass(slots=True)
class Duration:
    """How often something was done, and how long that took in all."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        """Once more."""
        self.count += 1
        self.ns += ns


class RequestExemplar(NamedTuple):
    """A request whose trace is recorded."""

    trace_id: str
    seconds: float
    at_s: float
    """Seconds since 1970."""


@dataclass(slots=True)
class VersionStatistics:
    """Counters of one version on this replica, since it was first wanted. They only grow.

    The stages of a request are Lepton's: `preprocess` is the pipeline that turns raw inputs into tensors, `queue` the
    wait for a batch, `infer` the batch in Triton, `postprocess` what makes labels of outputs. The health probes of the
    platform itself are no requests, but their batches are counted.
    """

    success: Duration = field(default_factory=Duration)
    """Requests that were answered, of any protocol; the whole time of each."""
    fail: Duration = field(default_factory=Duration)
    """Requests that failed or whose caller left."""
    errors: Counter[str] = field(default_factory=Counter)
    """Those of `fail`, by the name of the gRPC code."""
    by_seconds: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    """Those of `success` by BUCKETS_S; the last are slower."""
    preprocess: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    infer: Duration = field(default_factory=Duration)
    postprocess: Duration = field(default_factory=Duration)
    rows: int = 0
    """Rows that the model has answered."""
    batches: int = 0
    batch_sizes: dict[int, Duration] = field(default_factory=dict)
    """Batches by their rows."""
    exemplars: dict[int, RequestExemplar] = field(default_factory=dict)
    """Place in `by_seconds` → the last sampled request there."""
    last_request_ms: int = 0
    """Wall clock of the last answered request."""

    def batch_done(self, rows: int, seconds: float, *, answered: int) -> None:
        """Note a batch of `rows` that Triton has answered, so many of them with outputs."""
        self.rows += answered
        self.batches += 1
        size = self.batch_sizes.get(rows)
        if size is None:
            size = self.batch_sizes[rows] = Duration()
        size.add(round(seconds * 1e9))

    def succeeded(
        self,
        ns: int,
        *,
        preprocess_us: int,
        queue_us: int,
        infer_us: int,
        postprocess_us: int,
        trace_id: str = "",
    ) -> None:
        """Note a request that was answered, and its stages; the trace's id of one that is sampled."""
        self.success.add(ns)
        bucket = bisect_left(BUCKETS_S, ns / 1e9)
        self.by_seconds[bucket] += 1
        if trace_id:
            self.exemplars[bucket] = RequestExemplar(trace_id, ns / 1e9, time.time())
        self.preprocess.add(preprocess_us * 1000)
        self.queue.add(queue_us * 1000)
        self.infer.add(infer_us * 1000)
        self.postprocess.add(postprocess_us * 1000)
        self.last_request_ms = time.time_ns() // 1_000_000

    def failed(self, ns: int, code: str) -> None:
        """Note a request that was not answered, with the name of its gRPC code."""
        self.fail.add(ns)
        self.errors[code] += 1
