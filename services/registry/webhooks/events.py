"""What is told of a change: MLflow's events with MLflow's data where it has them, and ones of our own.

<https://mlflow.org/docs/latest/ml/webhooks/>; the names and data are those of `mlflow.webhooks.types` in MLflow 3.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lepton_ai.errors import InvalidInput

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "registered_model.created": {"name": "resnet", "tags": {}, "description": None},
    "model_version.created": {
        "name": "resnet",
        "version": "1",
        "source": "models:/resnet/1",
        "run_id": None,
        "tags": {},
        "description": None,
    },
    "model_version_tag.set": {"name": "resnet", "version": "1", "key": "team", "value": "vision"},
    "model_version_tag.deleted": {"name": "resnet", "version": "1", "key": "team"},
    "model_version_alias.created": {"name": "resnet", "alias": "staging", "version": "1"},
    "model_version_alias.deleted": {"name": "resnet", "alias": "staging"},
    "model_version_variant.created": {
        "name": "resnet",
        "version": "1",
        "variant": "int8",
        "method": "int8-minmax-u8s8",
        "actor": "alice",
    },
    "model_version.signed": {"name": "resnet", "version": "1", "signer": "key 0123456789abcdef", "actor": "alice"},
    "model_version.updated": {"name": "resnet", "version": "1", "state": "archived", "reason": "", "actor": "alice"},
    "deployment.updated": {"name": "resnet", "action": "deploy", "actor": "alice", "before": None, "after": {}},
    "deployment.deleted": {"name": "resnet", "action": "undeploy", "actor": "alice", "before": {}, "after": None},
    "rollout.created": {"name": "resnet", "action": "rollout_start", "actor": "alice", "before": {}, "after": {}},
    "rollout.updated": {"name": "resnet", "action": "rollout_promote", "actor": "alice", "before": {}, "after": {}},
}
"""Every event there is, with data as it may look."""


@dataclass(frozen=True)
class Event:
    """Something that has happened."""

    name: str
    data: Mapping[str, Any]

    def body(self, at: datetime) -> str:
        """What is sent."""
        entity, _, action = self.name.partition(".")
        document = {"entity": entity, "action": action, "timestamp": at.astimezone(UTC).isoformat(), "data": self.data}
        return json.dumps(document, ensure_ascii=False)


@dataclass(frozen=True)
class Change:
    """A change as the audit trail has it."""

    actor: str
    action: str
    model: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


def check_events(names: tuple[str, ...]) -> tuple[str, ...]:
    """Raises InvalidInput for a name that does not exist."""
    for name in names:
        if name not in EXAMPLES:
            raise InvalidInput.of_field("events", f"{name[:64]!r} is no event", fix=f"There are {', '.join(EXAMPLES)}.")
    return names


def events_of(change: Change) -> list[Event]:
    """What there is to tell of a change; nothing for what the registry mends by itself."""
    tell = _TOLD.get(change.action)
    if tell is not None:
        return list(tell(change))
    if change.action.startswith("rollout_"):
        return [Event("rollout.updated", _change(change))]
    return []


def _pushed(change: Change) -> Iterator[Event]:
    after = change.after or {}
    version = str(after.get("version"))
    if version == "1":
        yield Event("registered_model.created", {"name": change.model, "tags": {}, "description": None})
    source = f"models:/{change.model}/{version}"
    data = {"name": change.model, "version": version, "source": source, "run_id": None}
    yield Event("model_version.created", {**data, "tags": {}, "description": None})


def _aliased(change: Change) -> Iterator[Event]:
    after = change.after or {}
    data = {"name": change.model, "alias": after.get("alias"), "version": str(after.get("version"))}
    yield Event("model_version_alias.created", data)


def _unaliased(change: Change) -> Iterator[Event]:
    yield Event("model_version_alias.deleted", {"name": change.model, "alias": (change.before or {}).get("alias")})


def _varied(change: Change) -> Iterator[Event]:
    after = change.after or {}
    data = {"name": change.model, "version": str(after.get("version")), "variant": after.get("variant")}
    yield Event("model_version_variant.created", {**data, "method": after.get("method"), "actor": change.actor})


def _signed(change: Change) -> Iterator[Event]:
    after = change.after or {}
    data = {"name": change.model, "version": str(after.get("version")), "signer": after.get("signer")}
    yield Event("model_version.signed", {**data, "actor": change.actor})


def _changed_state(change: Change) -> Iterator[Event]:
    after = change.after or {}
    data = {"name": change.model, "version": str(after.get("version")), "state": after.get("state")}
    yield Event("model_version.updated", {**data, "reason": after.get("reason"), "actor": change.actor})


def _tagged(change: Change) -> Iterator[Event]:
    """Of versions only: MLflow has no event for tags of models."""
    after = change.after or {}
    for key, value in after.get("tags", {}).items() if after.get("version") else ():
        data = {"name": change.model, "version": str(after["version"]), "key": key}
        if value:
            yield Event("model_version_tag.set", {**data, "value": value})
        else:
            yield Event("model_version_tag.deleted", data)


def _own(name: str) -> Callable[[Change], Iterator[Event]]:
    return lambda change: iter([Event(name, _change(change))])


def _change(change: Change) -> Mapping[str, Any]:
    data: dict[str, Any] = {"name": change.model, "action": change.action, "actor": change.actor}
    return {**data, "before": change.before, "after": change.after}


_TOLD: Mapping[str, Callable[[Change], Iterator[Event]]] = {
    "push": _pushed,
    "set_alias": _aliased,
    "delete_alias": _unaliased,
    "push_variant": _varied,
    "sign": _signed,
    "set_tag": _tagged,
    "archive": _changed_state,
    "restore": _changed_state,
    "delete": _changed_state,
    "deploy": _own("deployment.updated"),
    "undeploy": _own("deployment.deleted"),
    "rollout_start": _own("rollout.created"),
    "rollback": _own("rollout.updated"),
}
