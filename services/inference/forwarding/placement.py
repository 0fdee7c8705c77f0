"""Which replica serves what, as the replicas themselves say in the shared state."""

from __future__ import annotations

from lepton_ai.mesh.discovery.records import Records, decode_serving_state
from lepton_ai.mesh.discovery.state import Watch
from lepton_ai.v1 import health_pb2
from services.inference.routing.routes import PRODUCTION, ModelReference


class Placement:
    """Reads what is watched only when it is asked."""

    def __init__(self, serving: Watch) -> None:
        """`serving` watches the replicas' states (SERVING)."""
        self._serving = serving
        self._records = Records(decode_serving_state)

    def replicas_with(self, reference: ModelReference) -> frozenset[str]:
        """Addresses of the replicas that say they serve what a call names."""
        states = self._records.read(self._serving.entries).values()
        return frozenset(
            state.replica for state in states if any(_answers(status, reference) for status in state.versions)
        )


def _answers(status: health_pb2.VersionStatus, reference: ModelReference) -> bool:
    if status.model != reference.name or status.state != health_pb2.VERSION_STATE_SERVING:
        return False
    if reference.version is not None:
        return status.version == reference.version
    return (reference.alias or PRODUCTION) in status.aliases
