"""The queue in front of a model: who goes next."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.batching.queue import Bound, Member, RowQueue
from services.inference.call import Priority
from tests.unit.inference.parts import rows_of

pytestmark = pytest.mark.asyncio


def member(flow: str = "", *, rows: int = 1, priority: Priority = Priority.LIVE) -> Member:
    future = asyncio.get_running_loop().create_future()
    return Member(rows_of(*range(rows)), 1e9, priority, future, None, 0.0, 0, flow=flow)


def batches(queue: RowQueue, max_rows: int) -> Iterator[list[Member]]:
    while queue.rows:
        batch, _ = queue.take(max_rows, lambda _: float("inf"))
        yield batch


async def test_one_flow_is_served_in_the_order_in_which_it_came() -> None:
    queue = RowQueue()
    members = [member() for _ in range(10)]
    for each in members:
        queue.add(each)
    assert [each for batch in batches(queue, 3) for each in batch] == members


async def test_calls_of_one_row_each_go_in_the_order_in_which_they_came() -> None:
    queue = RowQueue()
    members = [member(f"call {number}") for number in range(20)]
    for each in members:
        queue.add(each)
    first, _ = queue.take(5, lambda _: 5.0)
    queue.add(later := member("later"))
    assert first + [each for batch in batches(queue, 3) for each in batch] == [*members, later]


async def test_a_large_call_gets_its_share_though_small_ones_come_for_ever() -> None:
    queue = RowQueue()
    for _ in range(40):
        queue.add(member("large"))
    for number in range(7):
        queue.add(member(f"small {number}"))
    served = 0
    for number in range(30):
        batch, _ = queue.take(8, lambda _: 8.0)
        served += sum(each.flow == "large" for each in batch)
        for each in batch:
            if each.flow != "large":
                queue.add(member(f"next {number} {each.flow}"))
    assert served > 25, "about a row of each eight"


async def test_nobody_is_overtaken_by_those_who_come_later_and_ask_for_as_much() -> None:
    queue, order = RowQueue(), list[int]()
    for number in range(64):
        queue.add(member(str(number)))
    for number in range(64, 600, 8):
        order += [int(str(each.flow)) for each in queue.take(8, lambda _: 8.0)[0]]
        for later in range(number, number + 8):
            queue.add(member(str(later)))
    assert order == sorted(order)


async def test_who_has_given_up_is_passed_over() -> None:
    queue = RowQueue()
    members = [member("a"), member("b"), member("a")]
    for each in members:
        queue.add(each)
    assert queue.remove(members[0])
    assert not queue.remove(members[0])
    assert queue.take(5, lambda _: 5.0)[0] == members[1:]
    assert queue.peek() is None


async def test_who_sends_little_does_not_wait_for_the_backlog_of_who_sends_much() -> None:
    queue = RowQueue()
    for _ in range(100):
        queue.add(member("much"))
    next(batches(queue, 8))
    queue.add(late := member("little"))
    assert late in next(batches(queue, 8))


async def test_a_long_silence_earns_nothing() -> None:
    queue = RowQueue()
    for _ in range(50):
        queue.add(member("busy"))
    for _ in range(30):
        queue.take(1, lambda _: 1.0)
    for _ in range(20):
        queue.add(member("silent"))
    (first, _), (second, _) = (queue.take(10, lambda _: 10.0) for _ in range(2))
    assert Counter(each.flow for each in first + second) == {"busy": 10, "silent": 10}


async def test_large_rows_of_several_callers_do_not_add_up_to_more_than_a_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = RowQueue()
    members = [member(str(number)) for number in range(5)]
    monkeypatch.setattr("services.inference.batching.queue.MAX_BATCH_BYTES", 2 * members[0].size_bytes)
    for each in members:
        queue.add(each)
    assert queue.take(8, lambda _: 8.0) == (members[:2], Bound.BYTES)
    queue.add(large := member("large", rows=8))
    for _ in range(2):
        queue.take(8, lambda _: 8.0)
    assert queue.take(8, lambda _: 8.0) == ([large], Bound.ROWS), "alone it is taken whatever its size"


async def test_live_members_go_before_bulk_ones_of_whichever_tenant() -> None:
    queue = RowQueue()
    for name in "abc":
        queue.add(member(name, priority=Priority.BULK))
        queue.add(member(name))
    order = [each.priority for batch in batches(queue, 1) for each in batch]
    assert order == [Priority.LIVE] * 3 + [Priority.BULK] * 3


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4)), min_size=30, max_size=120), st.integers(4, 16))
async def test_tenants_who_all_wait_get_the_same_number_of_rows(sent: list[tuple[str, int]], max_rows: int) -> None:
    queue = RowQueue()
    for tenant, rows in sent:
        queue.add(member(tenant, rows=rows))
    total = sum(rows for _, rows in sent)
    waiting = Counter(tenant for tenant, _ in sent)
    names, served = set(waiting), Counter[str]()
    for batch in batches(queue, max_rows):
        for each in batch:
            served[str(each.flow)] += each.rows.count
            waiting[str(each.flow)] -= 1
        if all(waiting[name] for name in names):
            assert max(served[name] for name in names) - min(served[name] for name in names) <= 2 * 4 + max_rows
    assert sum(served.values()) == total
    assert queue.rows == 0
