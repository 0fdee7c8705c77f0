"""The queue in front of a model: live rows before bulk ones, and tenants and calls in turn, each by its rows."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum, auto

from opentelemetry.context import Context

from services.inference.call import Priority
from services.inference.rows import Answer, LayoutKey, Rows


@dataclass(slots=True, eq=False)
class Member:
    """One caller's rows on their way through the batcher."""

    rows: Rows
    deadline: float
    """Monotonic seconds."""
    priority: Priority
    future: asyncio.Future[Answer]
    context: Context | None
    """The caller's trace when it is sampled, else None."""
    enqueued_at: float
    enqueued_ns: int
    """Wall clock, for spans; 0 when there is no trace."""
    layout: LayoutKey = field(init=False)
    size_bytes: int = field(init=False)
    flow: Hashable = None
    """On whose behalf they wait: flows share the model fairly."""
    waits: bool = field(init=False, default=False)
    """Whether it is in the queue."""
    alone: bool = False
    """Must not share a batch: a batch it was in has failed."""

    def __post_init__(self) -> None:
        self.layout = self.rows.layout
        self.size_bytes = self.rows.size_bytes


MAX_BATCH_BYTES = 16 << 20
"""Of several callers. Raw items may have 20 MiB each; eight of them would be no message that Triton takes, and its
Python backend copies a batch into shared memory, of which there is little in a container."""


class Bound(Enum):
    """What keeps a batch from taking more of those who wait."""

    ROWS = auto()
    BYTES = auto()
    DEADLINE = auto()
    ALONE = auto()
    """Its member must not share a batch."""


_MOST_ENDS = 4096


class FairQueue:
    """Members of one priority, whose flows take turns by rows.

    A flow is what waits on behalf of one tenant, or of one call whose tenant is not known. Fair queueing (Demers,
    Keshav and Shenker, SIGCOMM '89) by starts: a member's turn is the later of the queue's clock and the end of its
    flow's last turn, which is its rows later; the clock counts rounds in which each flow that waits gets a row. So who
    sends little waits for nobody's backlog, those who send much get the same number of rows each, and nobody is
    overtaken for ever by those who come later. Members with the same turn go in the order in which they came.
    """

    def __init__(self) -> None:
        self._heaps: dict[LayoutKey, list[tuple[float, int, Member]]] = {}
        self._ends: dict[Hashable, float] = {}
        self._members: Counter[Hashable] = Counter()
        self._clock = 0.0
        self._number = 0

    def add(self, member: Member) -> None:
        """Queue a member behind those of its flow."""
        turn = max(self._clock, self._ends.get(member.flow, 0.0))
        self._ends[member.flow] = turn + member.rows.count
        self._members[member.flow] += 1
        self._number += 1
        heapq.heappush(self._heaps.setdefault(member.layout, []), (turn, self._number, member))

    def leave(self, member: Member) -> None:
        """A member waits no more; its place in the heap is given up when its turn comes."""
        flow = member.flow
        self._members[flow] -= 1
        if not self._members[flow]:
            del self._members[flow]
            # A tenant who sends its calls one by one has had the turns of the last one all the same.
            if not isinstance(flow, str) or self._ends[flow] <= self._clock:
                del self._ends[flow]
        if not self._members:
            self._heaps.clear()
            self._ends.clear()
            self._clock = 0.0

    def first(self) -> tuple[float, int, Member] | None:
        """Whose turn it is over all layouts; None when nobody waits."""
        heads = [self._head(layout) for layout in tuple(self._heaps)]
        return min((head for head in heads if head is not None), default=None)

    def head(self, layout: LayoutKey) -> Member | None:
        """Whose turn it is among the members of a layout."""
        head = self._head(layout)
        return None if head is None else head[2]

    def take(self, member: Member) -> None:
        """The member that is at the head of its layout leaves; the clock goes on."""
        turn, _, _ = heapq.heappop(self._heaps[member.layout])
        self._clock = max(self._clock + member.rows.count / len(self._members), turn)
        if len(self._ends) > _MOST_ENDS:
            self._ends = {flow: end for flow, end in self._ends.items() if end > self._clock or flow in self._members}

    def drain(self) -> list[Member]:
        """Everyone who waits."""
        return [member for heap in self._heaps.values() for _, _, member in sorted(heap) if member.waits]

    def _head(self, layout: LayoutKey) -> tuple[float, int, Member] | None:
        heap = self._heaps.get(layout)
        if heap is None:
            return None
        while heap and not heap[0][2].waits:
            heapq.heappop(heap)
        if not heap:
            del self._heaps[layout]
            return None
        return heap[0]


class RowQueue:
    """Members that wait. `Admission` bounds how many there are."""

    def __init__(self) -> None:
        self.rows = 0
        self._priorities = tuple(FairQueue() for _ in Priority)
        self._retries: deque[Member] = deque()

    def add(self, member: Member) -> None:
        """Queue a member behind those whose turn comes before; one that must be alone goes before everything."""
        member.waits = True
        self.rows += member.rows.count
        if member.alone:
            self._retries.append(member)
        else:
            self._priorities[member.priority].add(member)

    def remove(self, member: Member) -> bool:
        """Take out a member whose caller gave up; False when it is not in the queue (any more)."""
        if not member.waits:
            return False
        member.waits = False
        self.rows -= member.rows.count
        if member.alone:
            self._retries.remove(member)
        else:
            self._priorities[member.priority].leave(member)
        return True

    def peek(self) -> Member | None:
        """The member that the next batch begins with; None when nobody waits."""
        if self._retries:
            return self._retries[0]
        first = self._priorities[Priority.LIVE].first() or self._priorities[Priority.BULK].first()
        return None if first is None else first[2]

    def take(self, max_rows: int, allowance: Callable[[Member], float]) -> tuple[list[Member], Bound | None]:
        """The next batch: the member whose turn it is and the next ones of its layout, at most `max_rows` rows, live
        ones before bulk ones.

        `allowance` says how large a batch a member's deadline bears; the batch grows only as far as all its members
        allow, and never beyond the bytes that suit a message. The first member is always taken. Empty when nobody
        waits. Also tells what kept it from growing, if anything did.
        """
        first = self.peek()
        if first is None:
            return [], None
        if first.alone:
            self.remove(first)
            return [first], Bound.ALONE
        batch: list[Member] = []
        limit, rows, size_bytes = float(max_rows), 0, 0
        for queue in self._priorities:
            while (member := queue.head(first.layout)) is not None:
                limit = min(limit, allowance(member))
                size_bytes += member.size_bytes
                if batch and rows + member.rows.count > limit:
                    return batch, Bound.DEADLINE if limit < max_rows and rows < max_rows else Bound.ROWS
                if batch and size_bytes > MAX_BATCH_BYTES:
                    return batch, Bound.BYTES
                queue.take(member)
                self.remove(member)
                batch.append(member)
                rows += member.rows.count
        return batch, Bound.ROWS if rows >= max_rows else None

    def drain(self) -> list[Member]:
        """Everyone who waits; the queue is empty afterwards."""
        members = [*self._retries, *(member for queue in self._priorities for member in queue.drain())]
        for member in members:
            self.remove(member)
        return members
