"""The bounded queue in front of a model: rows wait in lanes of equal layout, live calls before bulk ones."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
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
    alone: bool = False
    """Must not share a batch: a batch it was in has failed."""

    def __post_init__(self) -> None:
        self.layout = self.rows.layout
        self.size_bytes = self.rows.size_bytes


@dataclass(frozen=True)
class QueueLimits:
    """How much may wait for one model version."""

    rows: int = 1024
    size_bytes: int = 256 << 20


class Bound(Enum):
    """What keeps a batch from taking more of those who wait."""

    ROWS = auto()
    DEADLINE = auto()
    ALONE = auto()
    """Its member must not share a batch."""


# A dict used as an ordered set: first in, first out, and O(1) removal from the middle when a caller gives up.
Lane = dict[Member, None]


class RowQueue:
    """Members that wait. Bounded by the batcher, which asks `rows` and `size_bytes` before it adds."""

    def __init__(self) -> None:
        self.rows = 0
        self.size_bytes = 0
        self._lanes: tuple[dict[LayoutKey, Lane], ...] = tuple({} for _ in Priority)
        self._retries: deque[Member] = deque()

    def add(self, member: Member) -> None:
        """Queue a member at the end of its lane; one that must be alone goes before everything."""
        self._count(member, 1)
        if member.alone:
            self._retries.append(member)
        else:
            self._lanes[member.priority].setdefault(member.layout, {})[member] = None

    def remove(self, member: Member) -> bool:
        """Take out a member whose caller gave up; False when it is not in the queue (any more)."""
        lanes = self._lanes[member.priority]
        lane = lanes.get(member.layout, {})
        if member in lane:
            del lane[member]
            if not lane:
                del lanes[member.layout]
        elif member in self._retries:
            self._retries.remove(member)
        else:
            return False
        self._count(member, -1)
        return True

    def peek(self) -> Member | None:
        """The member that the next batch begins with; None when nobody waits."""
        return self._retries[0] if self._retries else next(self._candidates(), None)

    def take(self, max_rows: int, allowance: Callable[[Member], float]) -> tuple[list[Member], Bound | None]:
        """The next batch: the oldest member and those after it that fit its layout, at most `max_rows` rows.

        `allowance` says how large a batch a member's deadline bears; the batch grows only as far as all its members
        allow. The first member is always taken. Empty when nobody waits. Also tells what kept it from growing, if
        anything did.
        """
        if self._retries:
            member = self._retries.popleft()
            self._count(member, -1)
            return [member], Bound.ALONE
        batch: list[Member] = []
        limit, rows, bound = float(max_rows), 0, None
        for member in self._candidates():
            limit = min(limit, allowance(member))
            if batch and rows + member.rows.count > limit:
                bound = Bound.DEADLINE if limit < max_rows else Bound.ROWS
                break
            batch.append(member)
            rows += member.rows.count
        for member in batch:
            self.remove(member)
        return batch, Bound.ROWS if rows >= max_rows else bound

    def drain(self) -> list[Member]:
        """Everyone who waits; the queue is empty afterwards."""
        members = [*self._retries, *(member for lanes in self._lanes for lane in lanes.values() for member in lane)]
        self._retries.clear()
        for lanes in self._lanes:
            lanes.clear()
        self.rows = self.size_bytes = 0
        return members

    def _count(self, member: Member, sign: int) -> None:
        self.rows += sign * member.rows.count
        self.size_bytes += sign * member.size_bytes

    def _candidates(self) -> Iterator[Member]:
        """The lane whose head waited longest, live lanes first, then bulk members of the same layout."""
        heads = [[next(iter(lane)) for lane in lanes.values()] for lanes in self._lanes]
        oldest = min(heads[Priority.LIVE] or heads[Priority.BULK], key=lambda member: member.enqueued_at, default=None)
        if oldest is not None:
            for lanes in self._lanes:
                yield from lanes.get(oldest.layout, ())
