"""Spans wait in bounded memory and leave in batches; an exporter that hangs or fails holds nobody up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from opentelemetry.trace import SpanContext, SpanKind

from lepton_ai.mesh.tracing.sender import SpanSender
from lepton_ai.mesh.tracing.spans import RecordedSpan
from lepton_ai.testing import eventually


def make_span(name: str) -> RecordedSpan:
    identity = SpanContext(1, 2, is_remote=False)
    return RecordedSpan(name, identity, None, kind=SpanKind.INTERNAL, start_ns=1, on_end=lambda span: None)


class _Exporter:
    """Notes its batches; waits for `open` before each, and fails when told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.timeouts_s: list[float] = []
        self.threads: set[int] = set()
        self.open = threading.Event()
        self.open.set()
        self.waiting = threading.Event()
        self.failure: Exception | None = None
        self.closed = 0

    def export(self, spans: Sequence[RecordedSpan], *, timeout_s: float) -> int:
        self.waiting.set()
        assert self.open.wait(10)
        self.threads.add(threading.get_ident())
        self.timeouts_s.append(timeout_s)
        if self.failure is not None:
            raise self.failure
        self.batches.append([span.name for span in spans])
        return 0

    def close(self) -> None:
        self.closed += 1


@contextmanager
def sending(exporter: _Exporter) -> Iterator[SpanSender]:
    sender = SpanSender(exporter)
    try:
        yield sender
    finally:
        exporter.open.set()
        sender.close(1.0)


async def test_spans_leave_by_themselves_in_another_thread() -> None:
    exporter = _Exporter()
    with sending(exporter) as sender:
        sender.put(make_span("a"))
        await eventually(lambda: exporter.batches == [["a"]], description="the span has been exported")
    assert threading.get_ident() not in exporter.threads


def test_a_flush_sends_all_in_order_and_in_batches_of_bounded_size() -> None:
    exporter = _Exporter()
    names = [str(number) for number in range(1200)]
    with sending(exporter) as sender:
        for name in names:
            sender.put(make_span(name))
        sender.flush(1.0)
        assert [name for batch in exporter.batches for name in batch] == names
        assert max(map(len, exporter.batches)) <= 512


def test_when_there_is_no_room_the_oldest_go_first() -> None:
    exporter = _Exporter()
    exporter.open.clear()
    with sending(exporter) as sender:
        sender.put(make_span("in flight"))
        assert exporter.waiting.wait(5)
        for number in range(10_000):
            sender.put(make_span(str(number)))
        exporter.open.set()
        sender.flush(5.0)
    names = [name for batch in exporter.batches for name in batch]
    assert names == ["in flight", *map(str, range(10_000 - 8192, 10_000))]


def test_a_flush_leaves_the_exporter_no_more_time_than_it_was_given() -> None:
    exporter = _Exporter()
    with sending(exporter) as sender:
        sender.put(make_span("a"))
        sender.flush(0.25)
        assert len(exporter.timeouts_s) == 1
        assert 0 < exporter.timeouts_s[0] <= 0.25


async def test_an_exporter_that_fails_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    exporter = _Exporter()
    exporter.failure = RuntimeError("broken")
    with sending(exporter) as sender:
        sender.put(make_span("lost"))
        await eventually(lambda: len(caplog.records) == 1, description="the failure is logged")
        exporter.failure = None
        sender.put(make_span("next"))
        await eventually(lambda: exporter.batches == [["next"]], description="the thread goes on")
        assert sender.dropped == 1


def test_closing_sends_the_rest_and_ends_the_thread() -> None:
    exporter = _Exporter()
    before = threading.active_count()
    sender = SpanSender(exporter)
    sender.put(make_span("last"))
    start_s = time.monotonic()
    sender.close(1.0)
    sender.close(1.0)
    assert time.monotonic() - start_s < 1
    assert exporter.batches == [["last"]]
    assert exporter.closed == 1
    assert threading.active_count() == before
