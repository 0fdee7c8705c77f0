"""Batches on their way through Triton, over all models of a replica."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum

from services.inference.batching.queue import Member


class Departure(StrEnum):
    """Why a batch left the queue with the rows that it has."""

    IDLE = "idle"
    """An instance was free, so everything that fitted went; nothing waits for a timer."""
    FULL = "full"
    """It holds as many rows as the model takes, or as make a row cheaper, or as many bytes as suit a message."""
    DEADLINE = "deadline"
    """One more row would have made a caller's deadline pass."""
    RETRY = "retry"
    """A caller on its own, after a batch that it was in has failed."""


@dataclass(slots=True, eq=False)
class Flight:
    """One batch on its way through Triton."""

    members: list[Member]
    rows: int
    departure: Departure
    dispatched_at: float
    started_at: float | None
    """When an instance of the model was free for it, as far as can be told from here."""
    wide: bool = False
    """Whether it may use all cores."""
    shares: bool = False
    """Whether another batch, of whichever model, ran at some time while this one did."""
    lane: object | None = None
    """Batches of one lane run one after another: those of a model with a single instance. None: beside all others."""
    task: asyncio.Task[None] | None = None

    @property
    def oldest_wait_s(self) -> float:
        """How long the member that came first has waited."""
        return self.dispatched_at - min(member.enqueued_at for member in self.members)


class Airspace:
    """The batches that Triton has at the moment, over all models: they share the machine."""

    def __init__(self) -> None:
        self._flights: set[Flight] = set()

    def is_clear(self, lane: object | None) -> bool:
        """Whether nothing runs beside a batch of this lane, so that it would have the machine to itself."""
        return all(lane is not None and other.lane is lane for other in self._flights)

    def enter(self, flight: Flight) -> None:
        """A batch leaves for Triton."""
        for other in self._flights:
            if flight.lane is None or other.lane is not flight.lane:
                flight.shares = other.shares = True
        self._flights.add(flight)

    def leave(self, flight: Flight) -> None:
        """Triton has answered it, or nobody waits for it any more."""
        self._flights.discard(flight)
