"""The batcher: who shares a batch, who goes first, and what happens when a batch fails."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from lepton_ai.errors import Cancelled, DeadlineExceeded, InternalError, Unavailable
from lepton_ai.tensors import Array
from lepton_ai.testing import captured_spans, eventually
from lepton_ai.testing.fake_triton import FakeTriton, affine
from services.inference.batching.flight import Departure
from services.inference.call import Call, Priority
from services.inference.rows import Rows
from services.inference.triton.messages import WIDE
from tests.unit.inference.parts import (
    Reports,
    in_seconds,
    loaded_version,
    make_batcher,
    named,
    rows_of,
    values_in,
)


class GatedTriton(FakeTriton):
    """Keeps every batch until the gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.arrived = 0
        self.cancelled = 0

    async def infer(self, request: Any, *, timeout_s: float, metadata: Sequence[tuple[str, str]] = ()) -> Any:
        self.arrived += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return await super().infer(request, timeout_s=timeout_s, metadata=metadata)


@pytest.fixture
async def triton() -> GatedTriton:
    fake = GatedTriton()
    await fake.load("affine--v3")
    return fake


def batch_sizes(triton: FakeTriton) -> list[int]:
    return [request.inputs[0].shape[0] for request in triton.requests]


async def test_rows_that_are_ready_together_share_a_batch(triton: GatedTriton) -> None:
    batcher = make_batcher(triton)
    triton.gate.set()
    answers = await asyncio.gather(*(batcher.submit(rows_of(value), deadline=in_seconds(5)) for value in (1, 2, 3)))
    assert [values_in(answer.rows) for answer in answers] == [[1], [2], [3]]
    assert batch_sizes(triton) == [3]
    assert {answer.batch_rows for answer in answers} == {3}


async def test_rows_are_spread_over_idle_instances(triton: GatedTriton) -> None:
    batcher = make_batcher(triton, loaded_version(instances=2))
    triton.gate.set()
    await asyncio.gather(*(batcher.submit(rows_of(value), deadline=in_seconds(5)) for value in range(6)))
    assert batch_sizes(triton) == [3, 3]


async def test_a_batch_never_exceeds_the_models_size(triton: GatedTriton) -> None:
    batcher = make_batcher(triton, loaded_version(max_batch_size=4))
    triton.gate.set()
    await asyncio.gather(*(batcher.submit(rows_of(v, v, v), deadline=in_seconds(5)) for v in range(5)))
    assert max(batch_sizes(triton)) <= 4


async def test_what_waits_while_instances_are_busy_becomes_one_batch(triton: GatedTriton) -> None:
    batcher = make_batcher(triton)
    first = asyncio.ensure_future(batcher.submit(rows_of(0), deadline=in_seconds(5)))
    await eventually(lambda: triton.arrived == 1, description="the first batch is at Triton")
    batcher.latency.observe(1, 0.01)
    batcher.latency.observe(8, 0.011)  # almost all of it fixed: then no second batch is sent ahead
    rest = [asyncio.ensure_future(batcher.submit(rows_of(value), deadline=in_seconds(5))) for value in range(1, 6)]
    await eventually(lambda: batcher.queued_rows == 5, description="the others wait")
    triton.gate.set()
    await asyncio.gather(first, *rest)
    assert batch_sizes(triton) == [1, 5]


@pytest.mark.parametrize(("instances", "is_wide"), [(1, True), (2, False)])
async def test_a_single_instance_may_use_all_cores_under_load(
    triton: GatedTriton, instances: int, is_wide: bool
) -> None:
    batcher = make_batcher(triton, loaded_version(instances=instances, max_batch_size=1, wide_threads=2))
    triton.gate.set()
    await asyncio.gather(*(batcher.submit(rows_of(value), deadline=in_seconds(5)) for value in range(5)))
    assert [WIDE in request.parameters for request in triton.requests[:4]] == [is_wide] * 4


async def test_different_row_shapes_never_share_a_batch() -> None:
    triton = FakeTriton()
    await triton.load("affine--v3")
    batcher = make_batcher(triton)
    wide = Rows(1, (named("x", np.zeros((1, 3), np.float32)),))
    await asyncio.gather(
        batcher.submit(rows_of(1), deadline=in_seconds(5)),
        batcher.submit(wide, deadline=in_seconds(5)),
        batcher.submit(rows_of(2), deadline=in_seconds(5)),
    )
    assert sorted(tuple(request.inputs[0].shape) for request in triton.requests) == [(1, 3), (2, 2)]


async def test_live_rows_go_before_bulk_rows(triton: GatedTriton) -> None:
    batcher = make_batcher(triton, loaded_version(max_batch_size=1))
    order: list[str] = []

    async def submit(name: str, priority: Priority) -> None:
        await batcher.submit(rows_of(1), deadline=in_seconds(5), priority=priority)
        order.append(name)

    first = [asyncio.ensure_future(submit("first", Priority.LIVE)) for _ in range(2)]
    await eventually(lambda: triton.arrived == 2, description="all places at Triton are taken")
    bulk = asyncio.ensure_future(submit("bulk", Priority.BULK))
    await eventually(lambda: batcher.queued_rows == 1, description="bulk waits")
    live = asyncio.ensure_future(submit("live", Priority.LIVE))
    await eventually(lambda: batcher.queued_rows == 2, description="both wait")
    triton.gate.set()
    await asyncio.gather(*first, bulk, live)
    assert order.index("live") < order.index("bulk")


async def test_a_batch_says_why_it_left(triton: GatedTriton) -> None:
    reports = Reports()
    batcher = make_batcher(triton, loaded_version(max_batch_size=4), reports=reports)
    triton.gate.set()
    await asyncio.gather(*(batcher.submit(rows_of(value), deadline=in_seconds(5)) for value in range(8)))
    await batcher.submit(rows_of(1), deadline=in_seconds(5))
    assert reports.departures == [Departure.FULL, Departure.FULL, Departure.IDLE]
    batcher = make_batcher(triton, loaded_version(max_batch_size=4), reports=reports)
    batcher.latency.observe(1, 0.15)
    batcher.latency.observe(4, 0.45)  # 0.05 s a batch and 0.1 s a row
    await asyncio.gather(*(batcher.submit(rows_of(value), deadline=in_seconds(0.3)) for value in range(3)))
    assert reports.departures[3] is Departure.DEADLINE


async def test_rows_whose_deadline_passed_in_the_queue_cost_no_work(triton: GatedTriton) -> None:
    batcher = make_batcher(triton, loaded_version(max_batch_size=1))
    first = [asyncio.ensure_future(batcher.submit(rows_of(0), deadline=in_seconds(5))) for _ in range(2)]
    await eventually(lambda: triton.arrived == 2, description="all places at Triton are taken")
    late = asyncio.ensure_future(batcher.submit(rows_of(9), deadline=in_seconds(-1)))
    await eventually(lambda: batcher.queued_rows == 1, description="the late one waits")
    triton.gate.set()
    with pytest.raises(DeadlineExceeded) as error:
        await late
    assert error.value.reason == "LATE_IN_QUEUE"
    await asyncio.gather(*first)
    assert triton.arrived == 2


async def test_a_batch_grows_only_as_far_as_the_oldest_deadline_bears(triton: GatedTriton) -> None:
    batcher = make_batcher(triton)
    batcher.latency.observe(1, 0.15)
    batcher.latency.observe(8, 0.85)  # 0.05 s a batch and 0.1 s a row
    triton.gate.set()
    answers = [batcher.submit(rows_of(value), deadline=in_seconds(0.4)) for value in range(6)]
    await asyncio.gather(*answers)
    assert batch_sizes(triton)[0] == 3


async def test_rows_that_gain_nothing_from_each_other_do_not_wait_for_each_other(triton: GatedTriton) -> None:
    batcher = make_batcher(triton)
    batcher.latency.observe(1, 0.1)
    batcher.latency.observe(8, 0.8)
    triton.gate.set()
    await asyncio.gather(*(batcher.submit(rows_of(value), deadline=in_seconds(5)) for value in range(6)))
    assert batch_sizes(triton)[0] == 1


async def test_a_cancelled_caller_leaves_the_queue(triton: GatedTriton) -> None:
    batcher = make_batcher(triton, loaded_version(max_batch_size=1))
    first = [asyncio.ensure_future(batcher.submit(rows_of(0), deadline=in_seconds(5))) for _ in range(2)]
    await eventually(lambda: triton.arrived == 2, description="all places at Triton are taken")
    given_up = asyncio.ensure_future(batcher.submit(rows_of(9), deadline=in_seconds(5)))
    await eventually(lambda: batcher.queued_rows == 1, description="it waits")
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    assert batcher.queued_rows == 0
    triton.gate.set()
    await asyncio.gather(*first)
    assert triton.arrived == 2


async def test_a_batch_nobody_waits_for_keeps_its_place_until_triton_has_answered(triton: GatedTriton) -> None:
    batcher = make_batcher(triton, loaded_version(max_batch_size=1))
    callers = [asyncio.ensure_future(batcher.submit(rows_of(v), deadline=in_seconds(5))) for v in (1, 2)]
    await eventually(lambda: triton.arrived == 2, description="all places at Triton are taken")
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    third = asyncio.ensure_future(batcher.submit(rows_of(3), deadline=in_seconds(5)))
    await eventually(lambda: batcher.queued_rows == 1, description="the third waits")
    assert (triton.cancelled, batcher.batches_in_flight) == (0, 2)
    triton.gate.set()
    assert values_in((await third).rows) == [3]
    await eventually(lambda: not batcher.busy, description="the batcher is idle")
    assert triton.cancelled == 0


async def test_a_batch_that_hangs_loses_its_place_some_time_after_its_last_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.inference.batching.batcher._PATIENCE_S", 0.05)
    triton = FakeTriton()
    await triton.load("affine--v3")
    batcher = make_batcher(triton)
    triton.compute_s = 3600
    with pytest.raises(DeadlineExceeded):
        await batcher.submit(rows_of(1), deadline=in_seconds(0.05))
    assert not batcher.busy


async def test_what_is_less_than_any_batch_takes_is_refused_before_triton_hears_of_it(triton: GatedTriton) -> None:
    batcher = make_batcher(triton)
    batcher.latency.observe(1, 0.5)
    with pytest.raises(DeadlineExceeded) as caught:
        await batcher.submit(rows_of(1), deadline=in_seconds(0.4))
    assert (caught.value.reason, triton.arrived) == ("TOO_LITTLE_TIME", 0)
    triton.gate.set()
    assert values_in((await batcher.submit(rows_of(1), deadline=in_seconds(5))).rows) == [1]


def fails_on_negative(name: str, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    (values,) = inputs.values()
    if (np.asarray(values, np.float32)[:, 0] < 0).any():
        raise InternalError("a negative row", reason="MODEL_FAILED")
    return affine(name, inputs)


async def test_one_bad_caller_does_not_fail_its_mates() -> None:
    triton = FakeTriton(fails_on_negative)
    await triton.load("affine--v3")
    batcher = make_batcher(triton)
    results = await asyncio.gather(
        *(batcher.submit(rows_of(value), deadline=in_seconds(5)) for value in (1, -2, 3)), return_exceptions=True
    )
    assert isinstance(results[1], InternalError)
    good = [result for result in results if not isinstance(result, BaseException)]
    assert [values_in(answer.rows) for answer in good] == [[1], [3]]
    assert batch_sizes(triton) == [3, 1, 1, 1], "together, then each once on its own"


async def test_a_model_that_answers_a_wrong_number_of_rows_fails_rather_than_mixing_them() -> None:
    triton = FakeTriton(lambda name, inputs: {"y": np.zeros((1, 2), np.float32)})
    await triton.load("affine--v3")
    batcher = make_batcher(triton)
    results = await asyncio.gather(
        *(batcher.submit(rows_of(value, value), deadline=in_seconds(5)) for value in (1, 2)), return_exceptions=True
    )
    assert [getattr(result, "reason", None) for result in results] == ["WRONG_ROW_COUNT"] * 2


async def test_a_dead_stub_is_reported_and_not_retried() -> None:
    triton, reports = FakeTriton(), Reports()
    await triton.load("affine--v3")
    triton.kill_stub("affine--v3")
    batcher = make_batcher(triton, reports=reports)
    results = await asyncio.gather(
        *(batcher.submit(rows_of(value), deadline=in_seconds(5)) for value in (1, 2)), return_exceptions=True
    )
    assert all(isinstance(result, Unavailable) for result in results)
    assert len(reports.failures) == len(triton.requests) == 1


async def test_closing_fails_those_who_wait_and_those_in_flight(triton: GatedTriton) -> None:
    batcher = make_batcher(triton, loaded_version(max_batch_size=1))
    callers = [asyncio.ensure_future(batcher.submit(rows_of(v), deadline=in_seconds(5))) for v in range(4)]
    await eventually(lambda: triton.arrived == 2, description="two at Triton, two in the queue")
    await batcher.close()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(result, Unavailable) and not isinstance(result, Cancelled) for result in results)
    with pytest.raises(Unavailable):
        await batcher.submit(rows_of(1), deadline=in_seconds(5))


async def test_every_sampled_member_sees_its_queue_and_compute_and_the_batch_links_to_all() -> None:
    triton = FakeTriton()
    await triton.load("affine--v3")
    with captured_spans() as captured:
        batcher = make_batcher(triton, tracer=captured.tracing.tracer)

        async def submit(name: str) -> None:
            with captured.tracing.span(name):
                call = Call.arrive(timeout_s=5, context=_current())
                await batcher.submit(rows_of(1), deadline=call.deadline, context=call.recorded_context)

        await asyncio.gather(submit("one"), submit("two"), batcher.submit(rows_of(3), deadline=in_seconds(5)))
        callers = {span.context.span_id: span for name in ("one", "two") for span in captured.named(name)}
        for name in ("queue", "compute"):
            assert {span.parent.span_id for span in captured.named(name) if span.parent} == set(callers)
        (batch,) = captured.named("batch")
        assert {link.context.span_id for link in batch.links} == set(callers)
        assert batch.attributes is not None
        assert batch.attributes["lepton.batch.size"] == 3
        (call,) = captured.named("inference.GRPCInferenceService/ModelInfer")
        assert call.parent is not None
        assert call.parent.span_id == batch.context.span_id
        assert f"{call.context.span_id:016x}" in triton.request_metadata[0]["traceparent"]


async def test_without_a_sampled_member_nothing_is_traced() -> None:
    triton = FakeTriton()
    await triton.load("affine--v3")
    with captured_spans() as captured:
        batcher = make_batcher(triton, tracer=captured.tracing.tracer)
        await batcher.submit(rows_of(1), deadline=in_seconds(5))
        assert captured.spans == ()
        assert triton.request_metadata == [{}]


async def test_a_failed_batch_marks_its_spans() -> None:
    triton = FakeTriton()
    with captured_spans() as captured:
        batcher = make_batcher(triton, tracer=captured.tracing.tracer)
        with pytest.raises(Unavailable), captured.tracing.span("caller"):
            await batcher.submit(rows_of(1), deadline=in_seconds(5), context=_current())
        for name in ("compute", "batch", "inference.GRPCInferenceService/ModelInfer"):
            (span,) = captured.named(name)
            assert not span.status.is_ok
            assert span.attributes is not None
            assert span.attributes["error.type"] == "UNAVAILABLE"


def _current() -> Any:
    from opentelemetry import context

    return context.get_current()


async def test_who_hears_of_batches_and_fails_keeps_nobody_from_an_answer() -> None:
    triton, reports = FakeTriton(), Reports()
    await triton.load("affine--v3")

    def fail(*_: object) -> None:
        raise ValueError("poison")

    reports.batch_done = fail  # type: ignore[method-assign, assignment]
    batcher = make_batcher(triton, reports=reports)
    for value in (1, 2):
        answer = await batcher.submit(rows_of(value), deadline=in_seconds(5))
        assert values_in(answer.rows) == [value]
