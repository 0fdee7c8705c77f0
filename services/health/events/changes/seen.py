"""What the follower of changes has seen and told: remembered with the events, so that none is told twice or missed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Self

from google.protobuf import json_format

from lepton_ai.v1 import registry_pb2
from services.health.events.changes.processes import Known, Replicas
from services.health.events.changes.serving import TritonRestart


@dataclass(frozen=True)
class Seen:
    """The platform as it was at the last look."""

    processes: Mapping[str, Known] = field(default_factory=dict)
    replicas: Mapping[str, Replicas] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    tritons: Mapping[str, int] = field(default_factory=dict)
    """Replica → how often its Triton was started anew since the replica began."""
    triton_restarts: Mapping[str, TritonRestart] = field(default_factory=dict)
    """Triton → the last one that was told."""
    deployments: Mapping[str, registry_pb2.Deployment] = field(default_factory=dict)
    """By model, without manifests."""
    audit_id: int = 0
    audit_hash: str = ""
    """The newest entry of the audit trail that was read."""
    newest: Mapping[str, int] = field(default_factory=dict)
    """Model → id of the newest entry that may show in its deployment."""
    explained: Mapping[str, int] = field(default_factory=dict)
    """Model → id of the entry that explained the last change of its deployment."""
    untold: Mapping[str, str] = field(default_factory=dict)
    """Model → identity of an event that was told without the audit trail, which may still say who did it."""

    def to_json(self) -> str:
        """For `from_json`, in this or a later process."""
        deployments = {
            model: json_format.MessageToDict(each, preserving_proto_field_name=True)
            for model, each in self.deployments.items()
        }
        plain = {
            "processes": {key: asdict(each) for key, each in self.processes.items()},
            "replicas": {key: asdict(each) for key, each in self.replicas.items()},
            "deployments": deployments,
            "triton_restarts": {key: asdict(each) for key, each in self.triton_restarts.items()},
        }
        names = ("failed", "tritons", "audit_id", "audit_hash", "newest", "explained", "untold")
        return json.dumps(plain | {name: getattr(self, name) for name in names})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ValueError, TypeError or LookupError for what no process of this release wrote."""
        document = json.loads(text)
        document["processes"] = {key: Known(**each) for key, each in document["processes"].items()}
        document["replicas"] = {key: Replicas(**each) for key, each in document["replicas"].items()}
        restarts = document.get("triton_restarts", {})
        document["triton_restarts"] = {key: TritonRestart(**each) for key, each in restarts.items()}
        document["deployments"] = {
            model: json_format.ParseDict(each, registry_pb2.Deployment(), ignore_unknown_fields=True)
            for model, each in document["deployments"].items()
        }
        return cls(**document)
