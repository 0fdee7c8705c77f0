"""What a server says about its load on an answer, and how callers ask for it: see the metadata keys.

Both directions are metadata of ordinary calls, so they work on every transport and cost nothing where nobody asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

LOAD_KEY = "lepton-load"
"""Of a request: the caller asks for the load. Of the trailing metadata: IN_FLIGHT,LATENCY_MS,LIMIT."""


@dataclass(frozen=True, slots=True)
class Load:
    """How busy one process is."""

    in_flight: int
    """Calls that it is working on, streams included."""
    latency_s: float
    """Its recent latency: an exponential mean over its last ten or so calls of all methods."""
    limit: int
    """How many calls it takes at once, as things are: see `limit_of`."""

    def __str__(self) -> str:
        return f"{self.in_flight},{self.latency_s * 1000:.3f},{self.limit}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The load in this text; None when it is none, as other servers may use the key in their own way."""
        try:
            in_flight, latency_ms, limit = text.split(",")
            return cls(int(in_flight), float(latency_ms) / 1000, int(limit))
        except ValueError:
            return None


def limit_of(in_flight: int, most: int, fullness: float) -> int:
    """How many calls a process takes at once: `most`, or where its service is filled to this part with those that are
    there, as many as would fill it."""
    return most if fullness <= 0 else max(1, min(most, round(in_flight / fullness)))
