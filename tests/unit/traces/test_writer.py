"""The writing thread: together in one commit, each export with its own answer, bounded, and to the end on close."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from lepton_ai.errors import Unavailable
from lepton_ai.traces.exports import Export, accept_protobuf
from lepton_ai.traces.store import TraceStore, Written
from lepton_ai.traces.writer import SpanWriter
from tests.unit.traces.samples import PREDICTION, otlp


def export(spans: int, *, trace: str = "trace") -> Export:
    return accept_protobuf(otlp(PREDICTION[:spans], trace=trace).SerializeToString(), max_span_bytes=100_000)


class GatedStore(TraceStore):
    """A real store that writes only while its gate is open."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, max_spans=1000, max_stored_bytes=10**9, max_trace_spans=1000)
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.commits = 0
        self.failure: Exception | None = None

    def write_all(self, exports: Sequence[Export]) -> list[Written]:
        self.entered.set()
        assert self.gate.wait(5)
        self.commits += 1
        if self.failure:
            raise self.failure
        return super().write_all(exports)


@pytest.fixture
def store(tmp_path: Path) -> GatedStore:
    return GatedStore(tmp_path / "t.db")


def test_exports_that_wait_are_committed_together_and_answered_apart(store: GatedStore) -> None:
    writer = SpanWriter(store, max_queued_spans=100, max_queued_bytes=10**6)
    first = writer.submit(export(1))
    assert store.entered.wait(5)
    waiting = [writer.submit(export(3)), writer.submit(export(2, trace="other"))]
    store.gate.set()

    assert first.result(5) == Written(1, 0)
    assert [future.result(5) for future in waiting] == [Written(3, 0), Written(2, 0)]
    assert store.commits == 2
    writer.close(timeout_s=5)


@pytest.mark.parametrize("limits", [{"max_queued_spans": 4}, {"max_queued_bytes": len(export(4).body)}])
def test_a_full_queue_refuses_at_once(store: GatedStore, limits: dict[str, int]) -> None:
    writer = SpanWriter(store, **{"max_queued_spans": 100, "max_queued_bytes": 10**6, **limits})
    writer.submit(export(1))
    assert store.entered.wait(5)
    writer.submit(export(4))

    with pytest.raises(Unavailable) as caught:
        writer.submit(export(1))

    assert caught.value.retry_after_s
    store.gate.set()
    writer.close(timeout_s=5)


def test_an_export_larger_than_the_queue_is_still_taken_when_it_is_empty(store: GatedStore) -> None:
    store.gate.set()
    writer = SpanWriter(store, max_queued_spans=1, max_queued_bytes=10**6)

    assert writer.submit(export(14)).result(5).stored == 14
    writer.close(timeout_s=5)


def test_a_failed_commit_is_told_and_the_next_one_works(store: GatedStore) -> None:
    store.gate.set()
    writer = SpanWriter(store, max_queued_spans=100, max_queued_bytes=10**6)
    store.failure = sqlite3.OperationalError("disk full")
    with pytest.raises(Unavailable):
        writer.submit(export(14)).result(5)

    store.failure = None
    assert writer.submit(export(14)).result(5).stored == 14
    writer.close(timeout_s=5)


def test_closing_writes_what_is_queued_and_takes_no_more(store: GatedStore) -> None:
    writer = SpanWriter(store, max_queued_spans=100, max_queued_bytes=10**6)
    futures = [writer.submit(export(2)), writer.submit(export(3))]
    store.gate.set()
    writer.close(timeout_s=5)

    assert [future.result(0).stored for future in futures] == [2, 3]
    with pytest.raises(Unavailable):
        writer.submit(export(14))


def test_an_export_that_breaks_the_store_in_an_unexpected_way_does_not_end_the_writing(store: GatedStore) -> None:
    store.gate.set()
    writer = SpanWriter(store, max_queued_spans=100, max_queued_bytes=10**6)
    store.failure = ValueError("poison")
    with pytest.raises(Unavailable):
        writer.submit(export(1)).result(5)
    store.failure = None
    assert writer.submit(export(1)).result(5) == Written(1, 0)
    writer.close(timeout_s=5)
