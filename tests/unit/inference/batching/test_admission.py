"""Who is let in when there is much to do, and who is refused at once."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import ResourceExhausted
from lepton_ai.mesh.tracing.context import EMPTY
from services.inference.batching.admission import Admission, Limits
from services.inference.batching.latency import LatencyModel
from services.inference.call import Call, Caller, Priority

LIVE = Call(deadline=1e9, context=EMPTY, arrived_at=0.0)
BULK = Call(deadline=1e9, context=EMPTY, arrived_at=0.0, priority=Priority.BULK)
STREAMED = Call(deadline=1e9, context=EMPTY, arrived_at=0.0, from_stream=True)


def of_tenant(name: str) -> Call:
    return Call(deadline=1e9, context=EMPTY, arrived_at=0.0, caller=Caller(name))


def latency(fixed_s: float, per_row_s: float) -> LatencyModel:
    model = LatencyModel()
    for rows in (1, 16):
        model.observe(rows, fixed_s + rows * per_row_s)
    return model


QUICK = latency(0.0085, 0.010)
"""Rows are worth waiting for: 50 of them before a batch hardly becomes cheaper."""


SLOW = latency(0.0, 0.100)
"""A batch of one is as good as any."""


def admission(**limits: int) -> Admission:
    return Admission("m", instances=2, max_batch_rows=64, limits=Limits(**limits))


def let_in(stack: ExitStack, gate: Admission, rows: int, call: Call = LIVE, *, size_bytes: int = 1) -> None:
    stack.enter_context(gate.admitted(rows, size_bytes, call, QUICK))


def test_the_bound_is_what_keeps_the_instances_busy_for_some_batches() -> None:
    gate = admission(rows=10_000)
    assert gate.limit_rows(QUICK) == 9 * 2 * 50
    assert gate.limit_rows(SLOW) == 128, "a batch of one is as good as any, so few may wait"
    assert admission(rows=100).limit_rows(QUICK) == 100, "never more than the setting"


def test_a_quick_model_has_room_for_what_it_answers_in_a_tenth_of_a_second() -> None:
    gate = admission(rows=10_000)
    assert gate.limit_rows(latency(0.0, 0.00005)) == pytest.approx(2 * 0.1 / 0.00005, abs=2)


def test_a_model_that_nobody_knows_yet_has_room_for_more_than_a_slow_one() -> None:
    gate = Admission("m", instances=1, max_batch_rows=8, limits=Limits())
    assert gate.limit_rows(LatencyModel()) == 256


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


class Clock:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def full(clock: Clock, stack: ExitStack) -> Admission:
    """Everything that a burst may fill is filled, by single rows of a model of which few need to wait."""
    gate = Admission("m", instances=2, max_batch_rows=64, limits=Limits(), clock=clock)
    for _ in range(gate.limit_rows(SLOW)):
        stack.enter_context(gate.admitted(1, 1, LIVE, SLOW))
    return gate


def refuse(gate: Admission) -> ResourceExhausted:
    with pytest.raises(ResourceExhausted) as refusal, gate.admitted(1, 1, LIVE, SLOW):
        pass
    return refusal.value


def test_a_burst_that_fills_the_queue_is_no_overload() -> None:
    clock = Clock()
    with ExitStack() as stack:
        gate = full(clock, stack)
        refuse(gate)
        clock.now_s += 0.2
        refuse(gate)
        assert not gate.overloaded


def test_a_queue_that_goes_down_in_between_is_no_overload() -> None:
    clock, leaving = Clock(), ExitStack()
    with ExitStack() as stack:
        gate = full(clock, stack)
        refuse(gate)
        stack.pop_all().close()
        for _ in range(128):
            leaving.enter_context(gate.admitted(1, 1, LIVE, SLOW))
        clock.now_s += 10
        refuse(gate)
        assert not gate.overloaded
    leaving.close()


def test_when_calls_are_refused_for_long_only_so_many_are_let_in_as_keep_the_instances_busy() -> None:
    clock = Clock()
    with ExitStack() as stack:
        gate = full(clock, stack)
        refuse(gate)
        clock.now_s += 0.3
        refusal = refuse(gate)
        assert gate.overloaded
        assert gate.limit_rows(SLOW) == 2 * 3
        assert refusal.retry_after_s is not None
        assert refusal.retry_after_s >= 1, "it is no use to come back while the overload lasts"
        clock.now_s += 1.1
        assert gate.limit_rows(SLOW) == 128, "nobody was refused for a second"


def test_bulk_calls_that_find_no_room_are_no_overload_of_live_ones() -> None:
    clock = Clock()
    with ExitStack() as stack:
        gate = full(clock, stack)
        for _ in range(2):
            with pytest.raises(ResourceExhausted), gate.admitted(1, 1, BULK, SLOW):
                pass
            clock.now_s += 1
        assert not gate.overloaded


async def test_an_overload_refuses_bulk_calls_and_who_came_since_the_queue_was_full_the_last_first() -> None:
    clock = Clock()
    gate = Admission("m", instances=1, max_batch_rows=64, limits=Limits(rows=6), clock=clock)
    ended: list[str] = []
    tasks: dict[str, asyncio.Task[None]] = {}

    async def wait(name: str, call: Call) -> None:
        try:
            with gate.admitted(1, 1, call, SLOW):
                await asyncio.Event().wait()
        except ResourceExhausted:
            ended.append(name)
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0, "it may go on and answer"

    async def come(name: str, call: Call = LIVE) -> None:
        tasks[name] = asyncio.create_task(wait(name, call))
        await asyncio.sleep(0)

    await come("bulk", BULK)
    for number in range(5):
        await come(f"live {number}")
    refuse(gate)
    for number in range(2):
        tasks[f"live {number}"].cancel()
        await asyncio.wait([tasks[f"live {number}"]])
        await come(f"late {number}")
    clock.now_s += 0.3
    refuse(gate)
    await asyncio.wait([tasks[name] for name in ("bulk", "late 0", "late 1")], timeout=10)
    assert ended == ["bulk", "late 1", "late 0"]
    assert gate.rows == gate.limit_rows(SLOW) == 3
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert gate.rows == 0, "calls that are cancelled by others leave, too"


async def test_what_filled_the_queue_is_answered_however_long_the_model_takes() -> None:
    clock = Clock()
    with ExitStack() as stack:
        gate = full(clock, stack)
        for _ in range(20):
            refuse(gate)
            clock.now_s += 0.3
        assert gate.overloaded
        await asyncio.sleep(0)
        assert gate.rows == 128


def test_how_full_it_is_follows_the_bound() -> None:
    gate = admission(rows=8)
    with ExitStack() as stack:
        for _ in range(4):
            let_in(stack, gate, 1)
        assert gate.fullness == 0.5


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
