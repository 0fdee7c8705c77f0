"""The bounded queue in front of a model: live rows before bulk ones, and tenants in turn, each by its rows."""

from __future__ import annotations

import asyncio
import heapq
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
    tenant: str = ""
    """Whose rows these are: tenants share the model fairly."""
    turn: float = field(init=False, default=0.0)
    """When they are to go, on the queue's own clock, which counts rows."""
    alone: bool = False
    """Must not share a batch: a batch it was in has failed."""

    def __post_init__(self) -> None:
        self.layout = self.rows.layout
        self.size_bytes = self.rows.size_bytes


class Bound(Enum):
    """What keeps a batch from taking more of those who wait."""

    ROWS = auto()
    DEADLINE = auto()
    ALONE = auto()
    """Its member must not share a batch."""


# A dict used as an ordered set: first in, first out, and O(1) removal from the middle when a caller gives up.
Lane = dict[Member, None]


class FairLanes:
    """Members of one priority. Each tenant has its lane for every layout, and tenants take turns by rows.

    Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM '96): a member's turn is the later of the queue's clock and
    the end of its tenant's last turn, which is its rows later. So a tenant that sends little waits for nobody's
    backlog, and among those who send much each gets the same number of rows. With one tenant: first in, first out.
    """

    def __init__(self) -> None:
        self._lanes: dict[LayoutKey, dict[str, Lane]] = {}
        self._ends: dict[str, float] = {}
        self._clock = 0.0

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def add(self, member: Member) -> None:
        """Queue a member at the end of its tenant's lane."""
        member.turn = max(self._clock, self._ends.get(member.tenant, 0.0))
        self._ends[member.tenant] = member.turn + member.rows.count
        self._lanes.setdefault(member.layout, {}).setdefault(member.tenant, {})[member] = None

    def remove(self, member: Member) -> bool:
        """Take a member out; False when it is not here."""
        lanes = self._lanes.get(member.layout, {})
        lane = lanes.get(member.tenant, {})
        if member not in lane:
            return False
        del lane[member]
        if not lane:
            del lanes[member.tenant]
        if not lanes:
            del self._lanes[member.layout]
        if not self._lanes:
            self._ends.clear()
            self._clock = 0.0
        return True

    def taken(self, member: Member) -> None:
        """The clock goes on to the turn of a member that leaves for its batch."""
        self._clock = max(self._clock, member.turn)

    def first(self) -> Member | None:
        """Whose turn it is; None when nobody waits."""
        heads = (next(iter(lane)) for lanes in self._lanes.values() for lane in lanes.values())
        return min(heads, key=_turn, default=None)

    def in_turn(self, layout: LayoutKey) -> Iterator[Member]:
        """All members of a layout, by their turns."""
        lanes = list(self._lanes.get(layout, {}).values())
        return iter(lanes[0]) if len(lanes) == 1 else heapq.merge(*lanes, key=_turn)

    def drain(self) -> list[Member]:
        """Everyone; the lanes are empty afterwards."""
        members = [member for lanes in self._lanes.values() for lane in lanes.values() for member in lane]
        for member in members:
            self.remove(member)
        return members


class RowQueue:
    """Members that wait. `Admission` bounds how many there are."""

    def __init__(self) -> None:
        self.rows = 0
        self.size_bytes = 0
        self._priorities = tuple(FairLanes() for _ in Priority)
        self._retries: deque[Member] = deque()

    def add(self, member: Member) -> None:
        """Queue a member behind those whose turn comes before; one that must be alone goes before everything."""
        self._count(member, 1)
        if member.alone:
            self._retries.append(member)
        else:
            self._priorities[member.priority].add(member)

    def remove(self, member: Member) -> bool:
        """Take out a member whose caller gave up; False when it is not in the queue (any more)."""
        if not self._priorities[member.priority].remove(member):
            if member not in self._retries:
                return False
            self._retries.remove(member)
        self._count(member, -1)
        return True

    def peek(self) -> Member | None:
        """The member that the next batch begins with; None when nobody waits."""
        return self._retries[0] if self._retries else next(self._candidates(), None)

    def take(self, max_rows: int, allowance: Callable[[Member], float]) -> tuple[list[Member], Bound | None]:
        """The next batch: the member whose turn it is and the next ones of its layout, at most `max_rows` rows.

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
            self._priorities[member.priority].taken(member)
            self.remove(member)
        return batch, Bound.ROWS if rows >= max_rows else bound

    def drain(self) -> list[Member]:
        """Everyone who waits; the queue is empty afterwards."""
        members = [*self._retries, *(member for lanes in self._priorities for member in lanes.drain())]
        self._retries.clear()
        self.rows = self.size_bytes = 0
        return members

    def _count(self, member: Member, sign: int) -> None:
        self.rows += sign * member.rows.count
        self.size_bytes += sign * member.size_bytes

    def _candidates(self) -> Iterator[Member]:
        """Live members in turn, then bulk ones of the same layout; bulk ones alone when nobody live waits."""
        first = self._priorities[Priority.LIVE].first() or self._priorities[Priority.BULK].first()
        if first is not None:
            for lanes in self._priorities:
                yield from lanes.in_turn(first.layout)


def _turn(member: Member) -> float:
    return member.turn
