"""What a client asks to be served, and the wait until it really answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc

from lepton_ai.client.connections import Connections
from lepton_ai.errors import DeadlineExceeded, FailedPrecondition, InvalidInput
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.references import PRODUCTION, format_form
from lepton_ai.v1 import health_pb2, health_pb2_grpc, registry_pb2

VARIANT_POLICIES = ("exact", "auto", "deadline")
"""Which variants of a version may answer in its place."""


@dataclass(frozen=True)
class Deployment:
    """What is asked to be served of a model."""

    model: str
    version: int
    """The version that takes the production traffic, or most of it."""
    generation: int
    """Grows with every change of what is served of the model."""
    versions: Sequence[registry_pb2.DeployedVersion] = field(repr=False)
    """All versions that are asked to be served."""

    @property
    def variant(self) -> str:
        """The variant that answers in place of `version`, if it was deployed with one."""
        own = (each for each in self.versions if each.version == self.version)
        return next((variant.name for each in own for variant in each.variants if variant.pinned), "")

    @property
    def form(self) -> str:
        """The version, with its variant: "3+int8"."""
        return format_form(self.version, self.variant)

    def __str__(self) -> str:
        return f"{self.model} version {self.form} is deployed."

    @classmethod
    def of(cls, message: registry_pb2.Deployment) -> Deployment:
        """The registry's answer as a value."""
        production = next(route for route in message.routes if route.alias == PRODUCTION)
        most = max(production.targets, key=lambda target: target.weight)
        return cls(message.model, most.version, message.generation, tuple(message.versions))


def variant_policy(name: str) -> registry_pb2.VariantPolicy.ValueType:
    """ "exact", "auto" or "deadline" as the registry numbers it; empty: as it is. Raises InvalidInput."""
    if name and name not in VARIANT_POLICIES:
        raise InvalidInput.of_field(
            "variants", f"{name[:64]!r} is no policy", fix=f"Use {', '.join(VARIANT_POLICIES)}."
        )
    return registry_pb2.VariantPolicy.Value(f"VARIANT_POLICY_{name.upper() or 'UNSPECIFIED'}")


def aliases_of(model: registry_pb2.Model) -> dict[str, int]:
    """The version for every alias of a model, by the names."""
    return dict(sorted(model.aliases.items()))


async def wait_until_served(connections: Connections, deployment: Deployment, wait_s: float) -> None:
    """Wait until predictions with the version in production were seen to work.

    Raises FailedPrecondition when the version cannot be served, DeadlineExceeded when it takes longer.
    """
    health = await connections.open("health")
    with health.pick() as pick:
        stub = health_pb2_grpc.HealthServiceStub(pick.channel)
        statuses = stub.WatchStatus(health_pb2.WatchStatusRequest(), timeout=wait_s)
        message = ""
        try:
            async for status in statuses:
                found = next((model for model in status.models if model.name == deployment.model), None)
                if found is None or found.production_version != deployment.version:
                    continue
                message = found.message
                if _is_served(found):
                    return
                _raise_if_failed(found, found.production_version)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
                raise from_rpc_error(error) from error
        finally:
            statuses.cancel()
    raise DeadlineExceeded(
        f"{deployment.model} version {deployment.version} is not served after {wait_s:g} s. {message}".rstrip(),
        fix="It is still being worked on: see `lepton health`, or wait longer.",
    )


def _is_served(model: health_pb2.ModelStatus) -> bool:
    """Whether predictions with the version in production were seen to work."""
    return (
        model.condition == health_pb2.CONDITION_HEALTHY and model.last_probe.model_version == model.production_version
    )


def _raise_if_failed(model: health_pb2.ModelStatus, wanted: int) -> None:
    mine = [each.status for each in model.served if each.status.version == wanted]
    if mine and all(each.state == health_pb2.VERSION_STATE_FAILED for each in mine):
        raise FailedPrecondition(
            f"{model.name} version {wanted} cannot be served: {mine[0].message}",
            fix="Correct the package and push it again. What was served before is still served.",
        )
