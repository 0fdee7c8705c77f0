"""What a replica makes of the variants that its models let answer: which are to be loaded, and what is offered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from lepton_ai.optimize.measure.cpu import Cpu
from lepton_ai.v1 import registry_pb2
from services.inference.lifecycle.deployments import Deployments
from services.inference.lifecycle.version_life import SERVING, VersionLife
from services.inference.variants.demand import Demand
from services.inference.variants.offers import Choice, Offer, Policy, choose_variant
from services.inference.version import VersionKey

_UNASKED = "no call has asked for it"
_SLOWER = "a faster one may answer"
_log = logging.getLogger(__name__)


class Variants:
    """Judges them by the processor of this machine. A version has at most one that answers: the fastest that may."""

    def __init__(self, demand: Demand, cpu: Cpu | None) -> None:
        """`cpu`: what models run on; None for a GPU."""
        self._demand = demand
        self._cpu = cpu
        self._told: set[tuple[VersionKey, str]] = set()

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have `changed` called when other variants are to be loaded."""
        self._demand.on_change(changed)

    def wanted(self, deployments: Deployments) -> dict[VersionKey, registry_pb2.DeployedVersion]:
        """Those that were asked for lately and may answer, as they are to be fetched."""
        found = {}
        for model, deployment in deployments.items():
            for deployed in deployment.versions if Policy.of(deployment) is not Policy.EXACT else ():
                best = self._choice(model, deployed).best
                if best is None:
                    continue
                key = VersionKey(model, deployed.version, best.name)
                if key in self._demand.wanted:
                    found[key] = registry_pb2.DeployedVersion(
                        version=deployed.version, digest=best.digest, manifest=best.manifest
                    )
        return found

    def offers(self, deployment: registry_pb2.Deployment, lives: Mapping[VersionKey, VersionLife]) -> dict[int, Offer]:
        """Version → what may answer in its place; nothing where only originals may."""
        policy = Policy.of(deployment)
        if policy is Policy.EXACT:
            return {}
        return {each.version: self._offer(deployment.model, each, policy, lives) for each in deployment.versions}

    def _offer(
        self,
        model: str,
        deployed: registry_pb2.DeployedVersion,
        policy: Policy,
        lives: Mapping[VersionKey, VersionLife],
    ) -> Offer:
        choice = self._choice(model, deployed)
        states = dict.fromkeys(choice.usable, _SLOWER) | dict(choice.refused)
        if choice.best is None:
            return Offer(policy, "", None, states)
        name = choice.best.name
        life = lives.get(VersionKey(model, deployed.version, name))
        states[name] = _UNASKED if life is None else life.message
        serves = life is not None and life.state == SERVING and not life.ending
        return Offer(policy, name, life.loaded if life is not None and serves else None, states)

    def _choice(self, model: str, deployed: registry_pb2.DeployedVersion) -> Choice:
        choice = choose_variant(deployed, self._cpu)
        for name, why in choice.refused.items():
            told = (VersionKey(model, deployed.version, name), why)
            if told not in self._told:
                self._told.add(told)
                _log.warning("Variant %s of %s@%s does not answer here: %s", name, model, deployed.version, why)
        return choice
