"""Who is let in when there is much to do, and who is refused at once."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import ResourceExhausted
from lepton_ai.mesh.tracing.context import EMPTY
from services.inference.batching.admission import Admission, Limits
from services.inference.batching.latency import LatencyModel
from services.inference.call import Call, Priority

LIVE = Call(deadline=1e9, context=EMPTY, arrived_at=0.0)
BULK = Call(deadline=1e9, context=EMPTY, arrived_at=0.0, priority=Priority.BULK)
STREAMED = Call(deadline=1e9, context=EMPTY, arrived_at=0.0, from_stream=True)


def of_tenant(name: str) -> Call:
    return Call(deadline=1e9, context=EMPTY, arrived_at=0.0, tenant=name)


def latency(fixed_s: float, per_row_s: float) -> LatencyModel:
    model = LatencyModel()
    for rows in (1, 16):
        model.observe(rows, fixed_s + rows * per_row_s)
    return model


QUICK = latency(0.0085, 0.010)
"""Rows are worth waiting for: 50 of them before a batch hardly becomes cheaper."""


def admission(**limits: int) -> Admission:
    return Admission("m", instances=2, max_batch_rows=64, limits=Limits(**limits))


def let_in(stack: ExitStack, gate: Admission, rows: int, call: Call = LIVE, *, size_bytes: int = 1) -> None:
    stack.enter_context(gate.admitted(rows, size_bytes, call, QUICK))


def test_the_bound_is_what_keeps_the_instances_busy_for_some_batches() -> None:
    gate = admission(rows=10_000)
    assert gate.limit_rows(QUICK) == 9 * 2 * 50
    slow = latency(0.0, 0.100)
    assert gate.limit_rows(slow) == 128, "a batch of one is as good as any, so few may wait"
    assert admission(rows=100).limit_rows(QUICK) == 100, "never more than the setting"


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    gate = admission(rows=4)
    with ExitStack() as stack:
        for _ in range(4):
            let_in(stack, gate, 1)
        with pytest.raises(ResourceExhausted) as refusal, gate.admitted(1, 1, LIVE, QUICK):
            pass
        assert refusal.value.reason == "QUEUE_FULL"
        assert refusal.value.retry_after_s is not None
    assert gate.rows == gate.size_bytes == 0
    with gate.admitted(4, 1, LIVE, QUICK):
        pass


def test_what_is_on_its_way_is_bounded_by_bytes_too() -> None:
    gate = admission(size_bytes=100)
    with ExitStack() as stack:
        let_in(stack, gate, 1, size_bytes=90)
        with pytest.raises(ResourceExhausted), gate.admitted(1, 20, LIVE, QUICK):
            pass


def test_a_call_that_is_alone_is_let_in_whatever_its_size() -> None:
    gate = admission(rows=4, size_bytes=10)
    with gate.admitted(1000, 10, LIVE, QUICK), gate.admitted(1, 0, LIVE, QUICK):
        assert gate.rows == 2, "and others still find room"


def test_bulk_calls_leave_half_to_live_ones() -> None:
    gate = admission(rows=8)
    with ExitStack() as stack:
        for _ in range(4):
            let_in(stack, gate, 1, BULK)
        with pytest.raises(ResourceExhausted), gate.admitted(1, 1, BULK, QUICK):
            pass
        for _ in range(4):
            let_in(stack, gate, 1)


def test_a_tenant_leaves_half_to_the_others() -> None:
    gate = admission(rows=8)
    with ExitStack() as stack:
        for _ in range(4):
            let_in(stack, gate, 1, of_tenant("a"))
        with pytest.raises(ResourceExhausted) as refusal, gate.admitted(1, 1, of_tenant("a"), QUICK):
            pass
        assert refusal.value.reason == "TENANT_QUEUE_FULL"
        for _ in range(4):
            let_in(stack, gate, 1, of_tenant("b"))


def test_requests_of_streams_have_waited_for_room_before() -> None:
    gate = admission(rows=1)
    with ExitStack() as stack:
        let_in(stack, gate, 1)
        let_in(stack, gate, 100, STREAMED)
        assert gate.rows == 1, "and take none of the room of calls"


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 500), st.sampled_from([LIVE, BULK, of_tenant("a")]))))
def test_whatever_comes_the_bounds_hold_and_nothing_is_left(calls: list[tuple[int, int, Call]]) -> None:
    gate = admission(rows=64, size_bytes=1000)
    with ExitStack() as stack:
        for rows, size_bytes, call in calls:
            try:
                let_in(stack, gate, rows, call, size_bytes=size_bytes)
            except ResourceExhausted:
                continue
            assert gate.rows <= 64
            assert gate.size_bytes <= 1000
    assert gate.rows == gate.size_bytes == 0
