"""What a replica makes of the variants that its models let answer: which are to be loaded, and what is offered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from lepton_ai.optimize.measure.cpu import Cpu
from lepton_ai.v1 import health_pb2, registry_pb2
from services.inference.lifecycle.deployments import Deployments
from services.inference.lifecycle.version_life import FAILED, SERVING, VersionLife
from services.inference.routing.rollout import candidates
from services.inference.routing.trial import Candidate
from services.inference.variants.demand import Demand
from services.inference.variants.offers import Choice, Offer, Policy, choose_variant, measured_elsewhere
from services.inference.version import LoadedVersion, VersionKey

_UNASKED = "no call has asked for it"
_SLOWER = "a faster one may answer"
_OTHER = "another one was deployed"
_log = logging.getLogger(__name__)
Lives = Mapping[VersionKey, VersionLife]


class Variants:
    """Judges them by the processor of this machine. A version has at most one that answers by itself: the fastest that
    may, or the one that it was deployed with."""

    def __init__(self, demand: Demand, cpu: Cpu | None) -> None:
        """`cpu`: what models run on; None for a GPU."""
        self._demand = demand
        self._cpu = cpu
        self._told: set[tuple[VersionKey, str]] = set()

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have `changed` called when other variants are to be loaded."""
        self._demand.on_change(changed)

    def wanted(self, deployments: Deployments) -> dict[VersionKey, registry_pb2.DeployedVersion]:
        """Those that are to be loaded, as they are to be fetched: that people want, or that calls have asked for lately
        and may answer."""
        found = {}
        for model, deployment in deployments.items():
            for deployed in deployment.versions:
                for variant in self._wanted(model, deployed, Policy.of(deployment)):
                    found[VersionKey(model, deployed.version, variant.name)] = registry_pb2.DeployedVersion(
                        version=deployed.version, digest=variant.digest, manifest=variant.manifest
                    )
        return found

    def refused(self, deployments: Deployments) -> list[health_pb2.VariantStatus]:
        """Those that people want and that cannot serve on this machine."""
        return [
            health_pb2.VariantStatus(
                model=model, version=deployed.version, variant=variant.name, state=FAILED, message=why
            )
            for model, deployment in deployments.items()
            for deployed in deployment.versions
            for variant in deployed.variants
            if (variant.pinned or variant.candidate) and (why := measured_elsewhere(variant.measured, self._cpu))
        ]

    def candidates(self, deployment: registry_pb2.Deployment, lives: Lives) -> dict[str, Candidate]:
        """Alias → what a rollout brings in through it; of a variant with what serves of it here."""
        return {
            alias: replace(each, loaded=_serving(lives, VersionKey(deployment.model, each.version, each.variant)))
            if each.variant
            else each
            for alias, each in candidates(deployment).items()
        }

    def offers(self, deployment: registry_pb2.Deployment, lives: Lives, *, is_trying: bool = False) -> dict[int, Offer]:
        """Version → what may answer in its place; nothing where only originals may.

        `is_trying`: a rollout is under way, which compares what people have chosen: no policy chooses meanwhile.
        """
        policy = Policy.EXACT if is_trying else Policy.of(deployment)
        found = {}
        for deployed in deployment.versions:
            pinned = next((variant for variant in deployed.variants if variant.pinned), None)
            if pinned is not None:
                found[deployed.version] = self._pinned_offer(deployment.model, deployed, pinned, lives)
            elif policy is not Policy.EXACT:
                found[deployed.version] = self._offer(deployment.model, deployed, policy, lives)
        return found

    def _wanted(
        self, model: str, deployed: registry_pb2.DeployedVersion, policy: Policy
    ) -> Iterator[registry_pb2.DeployedVariant]:
        for variant in deployed.variants:
            if (variant.pinned or variant.candidate) and not measured_elsewhere(variant.measured, self._cpu):
                yield variant
        best = None if policy is Policy.EXACT else self._choice(model, deployed).best
        if best is not None and VersionKey(model, deployed.version, best.name) in self._demand.wanted:
            yield best

    def _pinned_offer(
        self, model: str, deployed: registry_pb2.DeployedVersion, pinned: registry_pb2.DeployedVariant, lives: Lives
    ) -> Offer:
        key = VersionKey(model, deployed.version, pinned.name)
        states = dict.fromkeys((variant.name for variant in deployed.variants), _OTHER)
        elsewhere = measured_elsewhere(pinned.measured, self._cpu)
        if elsewhere:
            self._tell(key, elsewhere)
            return Offer(Policy.PINNED, "", None, states | {pinned.name: elsewhere})
        states[pinned.name] = lives[key].message if key in lives else _UNASKED
        return Offer(Policy.PINNED, pinned.name, _serving(lives, key), states)

    def _offer(self, model: str, deployed: registry_pb2.DeployedVersion, policy: Policy, lives: Lives) -> Offer:
        choice = self._choice(model, deployed)
        states = dict.fromkeys(choice.usable, _SLOWER) | dict(choice.refused)
        if choice.best is None:
            return Offer(policy, "", None, states)
        key = VersionKey(model, deployed.version, choice.best.name)
        states[key.variant] = lives[key].message if key in lives else _UNASKED
        return Offer(policy, key.variant, _serving(lives, key), states)

    def _choice(self, model: str, deployed: registry_pb2.DeployedVersion) -> Choice:
        choice = choose_variant(deployed, self._cpu)
        for name, why in choice.refused.items():
            self._tell(VersionKey(model, deployed.version, name), why)
        return choice

    def _tell(self, key: VersionKey, why: str) -> None:
        if (key, why) not in self._told:
            self._told.add((key, why))
            _log.warning("Variant %s of %s@%s does not answer here: %s", key.variant, key.model, key.version, why)


def _serving(lives: Lives, key: VersionKey) -> LoadedVersion | None:
    life = lives.get(key)
    return life.loaded if life is not None and life.state == SERVING and not life.ending else None
