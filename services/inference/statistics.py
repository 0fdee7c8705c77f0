"""What a version has done so far, in the terms of Triton's statistics extension."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Duration:
    """How often something was done, and how long that took in all."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        """Once more."""
        self.count += 1
        self.ns += ns


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
    preprocess: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    infer: Duration = field(default_factory=Duration)
    postprocess: Duration = field(default_factory=Duration)
    rows: int = 0
    """Rows that the model has answered."""
    batches: int = 0
    batch_sizes: dict[int, Duration] = field(default_factory=dict)
    """Batches by their rows."""
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

    def succeeded(self, ns: int, *, preprocess_us: int, queue_us: int, infer_us: int, postprocess_us: int) -> None:
        """Note a request that was answered, and its stages."""
        self.success.add(ns)
        self.preprocess.add(preprocess_us * 1000)
        self.queue.add(queue_us * 1000)
        self.infer.add(infer_us * 1000)
        self.postprocess.add(postprocess_us * 1000)
        self.last_request_ms = time.time_ns() // 1_000_000

    def failed(self, ns: int) -> None:
        """Note a request that was not answered."""
        self.fail.add(ns)
