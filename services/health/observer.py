"""Follows the shared state, asks replicas, probes models, and keeps the platform's status current."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

from google.protobuf import json_format

from lepton_ai.mesh.discovery.state import DEPLOYMENTS, ENDPOINTS, SERVING, StateStore, Watch
from lepton_ai.mesh.latest import Latest
from lepton_ai.v1 import health_pb2, registry_pb2
from services.health.assessment import assess
from services.health.probes import ModelProber
from services.health.replicas import ReplicaChecker
from services.health.settings import HealthSettings
from services.health.view import ReplicaCheck, View

_SETTLE_S = 0.2
"""How long to wait after a change before probing: changes come in bursts."""


class Observer:
    """Runs from `start()` to `close()`; `status` is what the service tells."""

    def __init__(
        self, state: StateStore, checker: ReplicaChecker, prober: ModelProber, settings: HealthSettings
    ) -> None:
        self.status: Latest[health_pb2.PlatformStatus] = Latest(health_pb2.PlatformStatus())
        self._state = state
        self._checker = checker
        self._prober = prober
        self._settings = settings
        self._watches: dict[str, Watch] = {}
        self._checks: Mapping[str, ReplicaCheck] = {}
        self._probes: dict[str, health_pb2.ProbeResult] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Take the first look and keep looking."""
        for prefix in (ENDPOINTS, DEPLOYMENTS, SERVING):
            self._watches[prefix] = await self._state.watch(prefix)
        self._refresh()
        loops = [self._follow(watch.changes()) for watch in self._watches.values()]
        self._tasks = [asyncio.create_task(loop) for loop in (*loops, self._check_replicas(), self._probe_models())]

    async def close(self) -> None:
        """Stop looking."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for watch in self._watches.values():
            await watch.close()
        await self._checker.close()
        self.status.close()

    async def _follow(self, changes: AsyncIterator[Mapping[str, bytes]]) -> None:
        async for _ in changes:
            self._refresh()
            self._changed.set()

    async def _check_replicas(self) -> None:
        while True:
            addresses = [address for each in self._endpoints().values() for address in each]
            self._checks = await self._checker.check_all(addresses)
            self._refresh()
            await asyncio.sleep(self._settings.check_interval_s)

    async def _probe_models(self) -> None:
        while True:
            self._changed.clear()
            deployments = self._deployments()
            results = await asyncio.gather(*(self._prober.probe(each) for each in deployments.values()))
            self._probes = dict(zip(deployments, results, strict=True))
            self._refresh()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self._settings.probe_interval_s)
                await asyncio.sleep(_SETTLE_S)

    def _refresh(self) -> None:
        status = assess(self._view())
        status.observed_at.CopyFrom(self.status.value.observed_at)
        if status != self.status.value:
            status.observed_at.GetCurrentTime()
            self.status.set(status)

    def _view(self) -> View:
        endpoints = self._endpoints()
        return View(
            replicas={name: {each: self._checks.get(each) for each in found} for name, found in endpoints.items()},
            deployments=self._deployments(),
            serving=tuple(
                json_format.Parse(value, health_pb2.ServingState(), ignore_unknown_fields=True)
                for _, value in sorted(self._watches[SERVING].entries.items())
            ),
            probes=dict(self._probes),
            state_connected=all(watch.connected for watch in self._watches.values()),
        )

    def _endpoints(self) -> dict[str, list[str]]:
        services: dict[str, list[str]] = {}
        for key in sorted(self._watches[ENDPOINTS].entries):
            service, _, address = key.removeprefix(ENDPOINTS).partition("/")
            services.setdefault(service, []).append(address)
        return services

    def _deployments(self) -> dict[str, registry_pb2.Deployment]:
        entries = sorted(self._watches[DEPLOYMENTS].entries.items())
        parsed = (json_format.Parse(each, registry_pb2.Deployment(), ignore_unknown_fields=True) for _, each in entries)
        return {deployment.model: deployment for deployment in parsed}
