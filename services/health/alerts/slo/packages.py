"""Promises that packages bring along: the `slo` section of lepton.yaml of what is deployed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from lepton_ai.errors import LeptonError
from lepton_ai.package import Description
from lepton_ai.v1 import registry_pb2
from services.health.alerts.memory.ledger import Ledger
from services.health.alerts.memory.records import Slo
from services.health.observe.assessment import production_version

_LOG = logging.getLogger(__name__)


class Descriptions(Protocol):
    """Where descriptions of deployed versions come from."""

    async def description(self, version: registry_pb2.DeployedVersion) -> Description:
        """Of one version. Raises LeptonError."""


class PackageSlos:
    """Writes down what packages promise, where nobody has promised otherwise."""

    def __init__(
        self, ledger: Ledger, deployments: Callable[[], Mapping[str, registry_pb2.Deployment]], source: Descriptions
    ) -> None:
        self._ledger = ledger
        self._deployments = deployments
        self._source = source
        self._read: dict[str, str] = {}
        """Model → digest of the package that was read last."""

    async def refresh(self) -> None:
        """Read the packages that have been deployed since the last time."""
        for model, deployment in self._deployments().items():
            wanted = production_version(deployment)
            version = next((each for each in deployment.versions if each.version == wanted), None)
            if version is None or self._read.get(model) == version.digest:
                continue
            try:
                description = await self._source.description(version)
            except LeptonError as error:
                _LOG.info("what a package promises is not known yet: %s", error.message, extra={"model": model})
                continue
            await self._take(model, description)
            self._read[model] = version.digest

    async def _take(self, model: str, description: Description) -> None:
        known, promised = self._ledger.of(Slo).get(model), description.slo
        if known is not None and known.source != "package":
            return
        if promised is None:
            if known is not None:
                await self._ledger.save(drop=[known])
            return
        new = Slo(
            id=model,
            revision=known.revision if known is not None else 0,
            availability=None if promised.availability_percent is None else promised.availability_percent / 100,
            latency_s=promised.latency_s,
            latency_share=promised.latency_percent / 100,
            window_s=promised.window_days * 86400.0,
            author="",
            source="package",
        )
        if new != known:
            await self._ledger.save([new])
