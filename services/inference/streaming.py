"""What the streams of both protocols need."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from lepton_ai.mesh.tracing import Tracing
from services.inference.backpressure import StreamRoom


@dataclass(frozen=True)
class Streaming:
    """One for all streams of a replica."""

    tracing: Tracing
    draining: asyncio.Event
    """Ends streams after what they have read."""
    room: StreamRoom
    """Bounds the rows that all streams have in work."""
    timeout_s: float
    """Of requests that bring no timeout."""
    max_in_flight: int
    """Limits the requests of one stream."""
