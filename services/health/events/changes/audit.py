"""The registry's audit trail, read on from where it was read last: what was changed there, and by whom."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf import json_format

from lepton_ai.credentials import Metadata
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.discovery.records import UNREADABLE
from lepton_ai.mesh.tracing.context import propagation, undecided
from lepton_ai.v1 import registry_pb2, registry_pb2_grpc
from services.health.events.changes.deployments import Description, describe, describe_alias
from services.health.events.event import Event

_PAGE = 500
_MOST = 2000
"""Entries of an older trail that are told to a health service that reads it for the first time."""
_TIMEOUT_S = 2.0
_ROLLOUTS = {
    "rollback": "was rolled back",
    "rollout_start": "began",
    "rollout_pause": "was paused",
    "rollout_resume": "goes on",
    "rollout_promote": "was promoted",
    "rollout_abort": "was aborted",
    "rollout_waiting": "waits",
    "rollout_running": "went a step further",
    "rollout_held": "is held",
    "rollout_paused": "is paused",
    "rollout_promoted": "has come to its end: it has all calls",
    "rollout_rolled_back": "was rolled back by its judge",
    "rollout_aborted": "was aborted",
}
_OTHERS = {
    "push": "was pushed",
    "sign": "was signed",
    "archive": "was archived",
    "restore": "was restored",
    "delete": "was deleted",
}


class AuditReader:
    """Asks the registry."""

    def __init__(self, registry: ServicePool, proof: Metadata) -> None:
        """`proof` shows the registry's token."""
        self._registry = registry
        self._proof = proof

    async def read(self, after: int, after_hash: str) -> list[registry_pb2.AuditEntry]:
        """Entries after one, the oldest first; where that one is not the trail's any more, all. Raises LeptonError."""
        found: list[registry_pb2.AuditEntry] = []
        request = registry_pb2.ListAuditRequest(limit=_PAGE)
        while len(found) < _MOST:
            page = await self._registry.call(self._asking(request), timeout_s=_TIMEOUT_S)
            for entry in page.entries:
                if entry.id == after and entry.hash == after_hash:
                    return found[::-1]
                found.append(entry)
            if not page.before:
                break
            request.before = page.before
        return found[::-1]

    def _asking(self, request: registry_pb2.ListAuditRequest) -> Callable[[grpc.aio.Channel, float], Any]:
        def ask(channel: grpc.aio.Channel, left_s: float) -> Any:
            # Nobody asked for it: such traces would crowd out those that people look for.
            metadata = (*self._proof, *propagation(undecided()))
            return registry_pb2_grpc.RegistryServiceStub(channel).ListAudit(request, timeout=left_s, metadata=metadata)

        return ask


def changes_deployment(entry: registry_pb2.AuditEntry) -> bool:
    """Whether what it tells of may show in the shared state."""
    is_move = entry.action in ("deploy", "undeploy", "set_alias", "delete_alias", "republish")
    return is_move or entry.action in _ROLLOUTS


def event_of(entry: registry_pb2.AuditEntry) -> Event:
    """An entry of the audit trail as an event."""
    try:
        described = _described(entry)
    except UNREADABLE:  # of another release
        described = _plain(entry, 0)
    labels = {"model": entry.model} if entry.model else {}
    if described.version:
        labels["version"] = str(described.version)
    return Event(
        entry.at.seconds + entry.at.nanos / 1e9,
        described.kind,
        described.title,
        labels,
        entry.actor,
        {"action": entry.action},
        key=f"audit/{entry.id}/{entry.hash[:16]}",
    )


def _described(entry: registry_pb2.AuditEntry) -> Description:
    before, after = _json(entry.before_json), _json(entry.after_json)
    model, action = entry.model, entry.action
    if action in ("set_alias", "delete_alias"):
        change = after or before
        return describe_alias(model, str(change.get("alias", "")), int(after.get("version", 0)))
    if action in ("deploy", "undeploy"):
        described = describe(model, _deployment(before), _deployment(after))
        return described or Description(action, f"{model} was deployed again", 0)
    if action in _ROLLOUTS:
        return _rollout(model, action, _deployment(before), _deployment(after))
    version = int((after or before).get("version", 0) or 0)
    if action in _OTHERS:
        kind = "push" if action == "push" else "registry"
        return Description(kind, f"version {version} of {model} {_OTHERS[action]}", version)
    return _plain(entry, version)


def _plain(entry: registry_pb2.AuditEntry, version: int) -> Description:
    words = entry.action.replace("_", " ")
    return Description("registry", f"{entry.model}: {words}" if entry.model else words, version)


def _rollout(
    model: str, action: str, before: registry_pb2.Deployment | None, after: registry_pb2.Deployment | None
) -> Description:
    shares = describe(model, before, after)
    candidates = [
        route.candidate
        for deployment in (after, before)
        if deployment is not None
        for route in deployment.routes
        if route.candidate
    ]
    version = candidates[0] if candidates else shares.version if shares else 0
    more = f": {shares.title}" if shares is not None else ""
    name = f"the rollout of {model} to version {version}" if version else f"the rollout of {model}"
    return Description("rollout", f"{name} {_ROLLOUTS[action]}{more}", version)


def _deployment(document: Mapping[str, Any]) -> registry_pb2.Deployment | None:
    if not document:
        return None
    return json_format.ParseDict(dict(document), registry_pb2.Deployment(), ignore_unknown_fields=True)


def _json(text: str) -> dict[str, Any]:
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}


def newest(entries: Sequence[registry_pb2.AuditEntry]) -> Mapping[str, int]:
    """Model → id of the newest entry that may show in the shared state."""
    return {entry.model: entry.id for entry in entries if changes_deployment(entry)}
