"""The queue and its threads: order, bounds, cancelling, closing."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import pytest
from opentelemetry.trace import INVALID_SPAN

from lepton_ai.errors import ResourceExhausted
from lepton_ai.pipeline import Pipeline
from lepton_ai.v1 import common_pb2, preprocess_pb2
from services.preprocess.workers import Job, Workers

PIPELINE = Pipeline.load({"inputs": {"x": "number"}, "steps": [{"op": "concat", "on": ["x"], "output": "row"}]})


class OneWorker:
    """A single thread that waits before each job until it may go on."""

    def __init__(self, *, max_queue_items: int = 100, max_queue_bytes: int = 1 << 20) -> None:
        self.done: list[str] = []
        self.begun = threading.Event()
        self._may_work = threading.Semaphore(0)
        self.workers = Workers(self._work, threads=1, max_queue_items=max_queue_items, max_queue_bytes=max_queue_bytes)

    def submit(self, name: str, *, size_bytes: int = 0) -> Job:
        item = common_pb2.Item(id=name, inputs={"x": common_pb2.Value(data=bytes(size_bytes))} if size_bytes else {})
        result = preprocess_pb2.ItemResult()
        job = Job(PIPELINE, item, deadline_s=math.inf, span=INVALID_SPAN, result=result, finish=_ignore)
        self.workers.submit(job)
        return job

    def finish(self) -> list[str]:
        """Let everything go on; what was worked on, in order."""
        self._may_work.release(1000)
        self.workers.close()
        return self.done

    def hold(self) -> None:
        """Give the thread something to be busy with, so that all that follows waits."""
        self.submit("held")
        assert self.begun.wait(timeout=10)

    def _work(self, job: Job) -> None:
        self.begun.set()
        assert self._may_work.acquire(timeout=10)
        self.done.append(job.item.id)


def _ignore() -> None:
    """These jobs have nobody to tell."""


@pytest.fixture
def one() -> Iterator[OneWorker]:
    one = OneWorker(max_queue_items=3, max_queue_bytes=1000)
    one.hold()
    yield one
    one.finish()


def test_jobs_are_done_oldest_first(one: OneWorker) -> None:
    for name in ("a", "b", "c"):
        one.submit(name)
    assert one.finish() == ["held", "a", "b", "c"]


def test_more_items_than_the_bound_are_refused(one: OneWorker) -> None:
    for name in ("a", "b", "c"):
        one.submit(name)
    with pytest.raises(ResourceExhausted) as raised:
        one.submit("d")
    assert raised.value.retry_after_s
    assert one.finish() == ["held", "a", "b", "c"]


def test_more_bytes_than_the_bound_are_refused_but_a_single_large_item_may_wait(one: OneWorker) -> None:
    one.submit("large", size_bytes=5000)
    with pytest.raises(ResourceExhausted):
        one.submit("small", size_bytes=10)
    assert one.finish() == ["held", "large"]


def test_a_cancelled_job_is_never_worked_on_and_makes_room(one: OneWorker) -> None:
    jobs = [one.submit(name) for name in ("a", "b", "c")]
    assert one.workers.cancel(jobs[1])
    assert not one.workers.cancel(jobs[1])
    one.submit("d")
    assert one.finish() == ["held", "a", "c", "d"]


def test_a_job_that_has_begun_cannot_be_cancelled() -> None:
    one = OneWorker()
    job = one.submit("a")
    assert one.begun.wait(timeout=10)
    assert not one.workers.cancel(job)
    assert one.finish() == ["a"]


def test_closing_finishes_what_is_queued() -> None:
    one = OneWorker()
    for index in range(20):
        one.submit(str(index))
    assert len(one.finish()) == 20
    assert one.workers.waiting_items == 0


def test_a_job_that_breaks_its_worker_is_logged_and_the_thread_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    done = []

    def work(job: Job) -> None:
        if job.item.id == "poison":
            raise ValueError("poison")
        done.append(job.item.id)

    workers = Workers(work, threads=1, max_queue_items=10, max_queue_bytes=1 << 20)
    for name in ("poison", "good"):
        item, result = common_pb2.Item(id=name), preprocess_pb2.ItemResult()
        workers.submit(Job(PIPELINE, item, deadline_s=math.inf, span=INVALID_SPAN, result=result, finish=_ignore))
    workers.close()
    assert done == ["good"]
    assert len(caplog.records) == 1
