"""The parts of a span that only its events tell of: Triton's queue, and compute's input, inference and output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Segment:
    """A stretch of a span's time that has a name but no span of its own."""

    name: str
    start_us: int
    duration_us: int


Moments = Mapping[str, int]
"""Event names of one span with the time (µs) of the first event of that name."""

_COMPUTE_PARTS = (
    ("compute input", "COMPUTE_START", "COMPUTE_INPUT_END"),
    ("compute infer", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START"),
    ("compute output", "COMPUTE_OUTPUT_START", "COMPUTE_END"),
)


def segments_of(moments: Moments, children: Sequence[Moments]) -> tuple[Segment, ...]:
    """The segments of a span, from its own events and those of its children, by start.

    Triton notes QUEUE_START in the model's span and the end of queueing as COMPUTE_START in the "compute" span below.
    """
    found = [_between(name, moments.get(start), moments.get(end)) for name, start, end in _COMPUTE_PARTS]
    starts = [events["COMPUTE_START"] for events in (moments, *children) if "COMPUTE_START" in events]
    found.append(_between("queue", moments.get("QUEUE_START"), min(starts, default=None)))
    return tuple(sorted((part for part in found if part is not None), key=lambda part: part.start_us))


def _between(name: str, start_us: int | None, end_us: int | None) -> Segment | None:
    if start_us is None or end_us is None:
        return None
    return Segment(name, start_us, max(0, end_us - start_us))
