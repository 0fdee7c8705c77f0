"""Which variants of a deployed version may answer in its place on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from lepton_ai.errors import FailedPrecondition
from lepton_ai.optimize.measure.cpu import Cpu, check_cpu
from lepton_ai.v1 import registry_pb2
from services.inference.version import LoadedVersion


class Policy(StrEnum):
    """What a model, or one of its versions, lets answer."""

    EXACT = "exact"
    AUTO = "auto"
    DEADLINE = "deadline"
    PINNED = "pinned"
    """Of a version that was deployed with a variant: that one."""

    @classmethod
    def of(cls, deployment: registry_pb2.Deployment) -> Policy:
        """What a deployment says; one that a later release may know is taken for the strictest."""
        return _POLICIES.get(deployment.variant_policy, cls.EXACT)


_POLICIES: Mapping[int, Policy] = {
    registry_pb2.VARIANT_POLICY_AUTO: Policy.AUTO,
    registry_pb2.VARIANT_POLICY_DEADLINE: Policy.DEADLINE,
}


@dataclass(frozen=True)
class Choice:
    """What a version's variants were found to be on this machine."""

    best: registry_pb2.DeployedVariant | None
    """The fastest that may answer; none where none may."""
    usable: Sequence[str]
    """Names of all that may, the fastest first."""
    refused: Mapping[str, str]
    """Name → why it may not."""


@dataclass(frozen=True)
class Offer:
    """The variant of a version that may answer in its place now."""

    policy: Policy
    name: str
    """Empty when none may answer here."""
    loaded: LoadedVersion | None
    """None as long as it does not serve; nobody has asked for it, or it is being loaded."""
    states: Mapping[str, str] = field(default_factory=dict)
    """Of all variants of the version: name → what is to be said of each."""


def choose_variant(deployed: registry_pb2.DeployedVersion, cpu: Cpu | None) -> Choice:
    """Judge a version's variants by what was measured of them: where, how fast, and within which bound.

    `cpu`: what models run on here; None for a GPU.
    """
    refused = {variant.name: why for variant in deployed.variants if (why := _objection(variant.measured, cpu))}
    usable = [variant for variant in deployed.variants if variant.name not in refused]
    usable.sort(key=lambda variant: (-variant.measured.speed_up, variant.name))
    return Choice(usable[0] if usable else None, [variant.name for variant in usable], refused)


def _objection(measured: registry_pb2.Measured, cpu: Cpu | None) -> str:
    """Why a variant may not answer by itself here; empty when it may."""
    if elsewhere := measured_elsewhere(measured, cpu):
        return elsewhere
    if measured.loss > measured.max_loss:
        return (
            f"It loses {measured.loss:.2%} of {measured.metric}, more than the {measured.max_loss:.2%} allowed for it."
        )
    if measured.speed_up_low <= 1.0:
        return f"It was not measured to be faster: {measured.speed_up:.2f} times, at least {measured.speed_up_low:.2f}."
    return ""


def measured_elsewhere(measured: registry_pb2.Measured, cpu: Cpu | None) -> str:
    """Why what was measured of a variant does not hold here, so that it may not even answer when a person says so."""
    if cpu is None:
        return f"It was measured on a processor ({measured.cpu}), and models run on a GPU here."
    try:
        check_cpu(tuple(measured.flags), cpu)
    except FailedPrecondition as error:
        return f"{error.message} {error.fix}"
    return ""
