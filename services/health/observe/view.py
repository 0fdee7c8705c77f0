"""Everything the health service knows at one moment, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lepton_ai.v1 import health_pb2 as pb
from lepton_ai.v1 import registry_pb2

EXPECTED_SERVICES = ("inference", "preprocess", "registry")
"""Services that the platform needs. Others are shown when they are registered."""


@dataclass(frozen=True)
class ReplicaCheck:
    """The answer of one replica to grpc.health.v1 Check."""

    serving: bool
    message: str = ""


@dataclass(frozen=True)
class View:
    """What is registered, wanted, served and known to work."""

    replicas: Mapping[str, Mapping[str, ReplicaCheck | None]] = field(default_factory=dict)
    """Service → address → last check; None: not asked yet."""
    deployments: Mapping[str, registry_pb2.Deployment] = field(default_factory=dict)
    serving: tuple[pb.ServingState, ...] = ()
    probes: Mapping[str, pb.ProbeResult] = field(default_factory=dict)
    """Model → its newest probe."""
    expected_replicas: Mapping[str, int] = field(default_factory=dict)
    """Service → how many should be registered; one where nothing is said."""
    machine: Mapping[str, str] = field(default_factory=dict)
    """Problems of the machine: `disk` or `supervisor` → a sentence."""
    state_connected: bool = True
    """Whether the shared state is being followed right now; otherwise this view is the last one known."""
