"""Versions that a replica cannot serve, and serves again, and Tritons that were started anew. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lepton_ai.v1 import health_pb2
from services.health.events.event import Event

_MAX_MESSAGE = 500


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
    known: Mapping[str, int], states: Iterable[health_pb2.ServingState], now_s: float
) -> tuple[list[Event], dict[str, int]]:
    """Tritons that were started anew since, and how often each was by now: replica → times since the replica began."""
    events: list[Event] = []
    found: dict[str, int] = {}
    for state in states:
        found[state.replica] = state.triton_restarts
        if state.triton_restarts > known.get(state.replica, state.triton_restarts):
            labels = {"service": "triton", "instance": state.replica}
            key = f"restart/triton/{state.replica}/{state.triton_restarts}/{now_s:.0f}"
            events.append(Event(now_s, "restart", f"the Triton of {state.replica} was started anew", labels, key=key))
    return events, found
