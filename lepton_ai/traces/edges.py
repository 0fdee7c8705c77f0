"""Who called whom in a trace, to be held against the topology that is meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lepton_ai.traces.tree import parent_id


def call_edges(trace: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The (caller service, callee service) pairs of a trace in Jaeger's JSON.

    An edge is a span whose parent belongs to another service; links (FOLLOWS_FROM) are not calls.
    """
    services = {span["spanID"]: trace["processes"][span["processID"]]["serviceName"] for span in trace["spans"]}
    pairs = {(services.get(parent_id(span)), services[span["spanID"]]) for span in trace["spans"]}
    return {(caller, callee) for caller, callee in pairs if caller is not None and caller != callee}
