"""Versions that a replica cannot serve, and serves again, and Tritons that were started anew. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lepton_ai.v1 import health_pb2
from services.health.events.event import Event

_MAX_MESSAGE = 500
_SEEN_WITHIN_S = 10.0
"""All workers of a Triton notice within so long that it was started anew."""


@dataclass(frozen=True)
class TritonRestart:
    """That a Triton was started anew, as it was told."""

    time_s: float
    seen_by: Sequence[str]
    """The replicas that have said so."""

    def covers(self, replica: str, now_s: float) -> bool:
        """Whether a restart that this replica sees now is this one."""
        return 0 <= now_s - self.time_s < _SEEN_WITHIN_S and replica not in self.seen_by


def compare_serving(
    failed: Mapping[str, str], states: Iterable[health_pb2.ServingState], now_s: float
) -> tuple[list[Event], dict[str, str]]:
    """What happened since, and what fails now: replica, model and version → why."""
    events: list[Event] = []
    found: dict[str, str] = {}
    for state in states:
        for each in state.versions:
            key = f"{state.replica} {each.model} {each.version}"
            labels = {"model": each.model, "version": str(each.version), "service": "inference"}
            labels["instance"] = state.replica
            name = f"version {each.version} of {each.model}"
            if each.state == health_pb2.VERSION_STATE_FAILED:
                found[key] = each.message[:_MAX_MESSAGE]
                if key not in failed:
                    title = f"{state.replica} cannot serve {name}: {found[key]}"
                    events.append(Event(now_s, "serving_failed", title, labels))
            elif key in failed and each.state == health_pb2.VERSION_STATE_SERVING:
                events.append(Event(now_s, "serving", f"{state.replica} serves {name} again", labels))
            elif key in failed:
                found[key] = failed[key]  # it is being tried again
    return events, found


def compare_tritons(
    known: Mapping[str, int],
    told: Mapping[str, TritonRestart],
    states: Iterable[health_pb2.ServingState],
    now_s: float,
) -> tuple[list[Event], dict[str, int], dict[str, TritonRestart]]:
    """Tritons that were started anew since, how often each replica has seen that by now, and what was told last.

    `known`: replica → times since the replica began. Each worker of a replica counts for itself: what another one has
    told of the same Triton just before is the same restart.
    """
    events: list[Event] = []
    found: dict[str, int] = {}
    restarts: dict[str, TritonRestart] = {}
    for state in sorted(states, key=lambda each: each.replica):
        triton = f"{state.replica.rpartition(':')[0]} {state.triton_address or state.replica}"
        last = restarts.get(triton, told.get(triton))
        found[state.replica] = state.triton_restarts
        if state.triton_restarts > known.get(state.replica, state.triton_restarts):
            if last is not None and last.covers(state.replica, now_s):
                last = replace(last, seen_by=(*last.seen_by, state.replica))
            else:
                last = TritonRestart(now_s, (state.replica,))
                labels = {"service": "triton", "instance": state.replica}
                key = f"restart/triton/{state.replica}/{state.triton_restarts}/{now_s:.0f}"
                title = f"the Triton of {state.replica} was started anew"
                events.append(Event(now_s, "restart", title, labels, key=key))
        if last is not None:
            restarts[triton] = last
    return events, found, restarts
