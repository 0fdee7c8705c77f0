"""Follows the shared state, asks replicas, probes models, and keeps the platform's status current."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from lepton_ai.mesh.discovery.records import Records, decode_deployment, decode_endpoint, decode_serving_state
from lepton_ai.mesh.discovery.state import DEPLOYMENTS, ENDPOINTS, SERVING, StateStore, Watch
from lepton_ai.mesh.latest import Latest
from lepton_ai.mesh.loops import run_loop
from lepton_ai.v1 import health_pb2, registry_pb2
from services.health.observe.assessment import assess, mark_stale, production_version
from services.health.observe.freshness import Freshness
from services.health.observe.machine import Machine
from services.health.observe.probes import ModelProber
from services.health.observe.replicas import ReplicaChecker
from services.health.observe.view import ReplicaCheck, View
from services.health.settings import HealthSettings

_SETTLE_S = 0.2
"""How long to wait after a change before probing: changes come in bursts."""
_STALE_ROUNDS = 3
"""After so many missed rounds, the findings of the last one count as stale."""
_AGE_INTERVAL_S = 1.0
_NOT_JUDGED = "it could not be made or judged, see the log of the health service"
_log = logging.getLogger(__name__)


class Observer:
    """Runs from `start()` to `close()`; `status` is what the service reports, marked as such when it is stale."""

    def __init__(
        self, state: StateStore, checker: ReplicaChecker, prober: ModelProber, settings: HealthSettings
    ) -> None:
        self.status: Latest[health_pb2.PlatformStatus] = Latest(health_pb2.PlatformStatus())
        """Changes when something has changed; `current()` has the time of the last look, too."""
        self.seen = View()
        """What the status was made of; replaced as a whole, so that any thread may read it."""
        self._state = state
        self._checker = checker
        self._prober = prober
        self._settings = settings
        self._machine = Machine(
            disk_directory=settings.disk_directory,
            disk_low_bytes=settings.disk_low_bytes,
            supervisor_socket=settings.supervisor_socket,
        )
        self._machine_problems: Mapping[str, str] = {}
        self._watches: dict[str, Watch] = {}
        self._endpoints = Records(decode_endpoint)
        self._deployments = Records(decode_deployment)
        self._serving = Records(decode_serving_state)
        self._checks: Mapping[str, ReplicaCheck] = {}
        self._probes: dict[str, health_pb2.ProbeResult] = {}
        self._assessed = health_pb2.PlatformStatus()
        self._freshness = Freshness(
            {
                "checks": _STALE_ROUNDS * (settings.check_interval_s + settings.check_timeout_s),
                "probes": _STALE_ROUNDS * (settings.probe_interval_s + settings.probe_timeout_s),
            }
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Take the first look and keep looking."""
        for prefix in (ENDPOINTS, DEPLOYMENTS, SERVING):
            self._watches[prefix] = await self._state.watch(prefix)
        self._refresh()
        self._tasks = [
            *(run_loop(partial(self._follow, each), name=f"follow {prefix}") for prefix, each in self._watches.items()),
            run_loop(self._check_replicas, name="check replicas"),
            run_loop(self._probe_models, name="probe models"),
            run_loop(self._watch_age, name="watch the age of the status"),
        ]

    async def close(self) -> None:
        """Stop looking."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for watch in self._watches.values():
            await watch.close()
        await self._checker.close()
        self.status.close()

    def current(self) -> health_pb2.PlatformStatus:
        """The status with the time of the last look, marked as such when it is stale."""
        self._show()
        status = health_pb2.PlatformStatus()
        status.CopyFrom(self.status.value)
        status.observed_at.FromNanoseconds(self._freshness.observed_ns)
        return status

    @property
    def observed_ns(self) -> int:
        """Wall-clock time (ns) since which everything has been looked at."""
        return self._freshness.observed_ns

    @property
    def watches(self) -> Mapping[str, Watch]:
        """What it follows, from `start()` on: by ENDPOINTS, DEPLOYMENTS and SERVING."""
        return self._watches

    async def look_at_machine(self) -> None:
        """Bring the machine's part of the status up to date: a disk can fill up between two rounds of checks."""
        self._machine_problems = await self._machine.look()
        self._refresh()

    async def _follow(self, watch: Watch) -> None:
        async for _ in watch.changes():
            self._refresh()
            self._changed.set()

    async def _check_replicas(self) -> None:
        while True:
            addresses = [address for each in self._known_endpoints().values() for address in each]
            self._checks = await self._checker.check_all(addresses)
            await self.look_at_machine()
            self._freshness.looked("checks")
            await asyncio.sleep(self._settings.check_interval_s)

    async def _probe_models(self) -> None:
        while True:
            self._changed.clear()
            deployments = self._known_deployments()
            results = await asyncio.gather(*(self._probe(each) for each in deployments.values()))
            self._probes = dict(zip(deployments, results, strict=True))
            self._refresh()
            self._freshness.looked("probes")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self._settings.probe_interval_s)
                await asyncio.sleep(_SETTLE_S)

    async def _probe(self, deployment: registry_pb2.Deployment) -> health_pb2.ProbeResult:
        """Probe one model. A fault of ours becomes its result, so that the other models are still probed."""
        try:
            return await self._prober.probe(deployment)
        except Exception:  # noqa: BLE001 - logged, and reported as the result
            before = self._probes.get(deployment.model)
            if before is None or before.error != _NOT_JUDGED:
                _log.exception("a test prediction failed in the health service", extra={"model": deployment.model})
            result = health_pb2.ProbeResult(error=_NOT_JUDGED, model_version=production_version(deployment))
            result.probed_at.GetCurrentTime()
            return result

    async def _watch_age(self) -> None:
        while True:
            self._show()
            await asyncio.sleep(_AGE_INTERVAL_S)

    def _refresh(self) -> None:
        self.seen = self.view()
        self._assessed = assess(self.seen)
        self._show()

    def _show(self) -> None:
        status = health_pb2.PlatformStatus()
        status.CopyFrom(self._assessed)
        stale_since_ns = self._freshness.stale_since_ns
        if stale_since_ns is not None:
            mark_stale(status, stale_since_ns)
        # Watchers hear of changes, not of every look.
        status.observed_at.CopyFrom(self.status.value.observed_at)
        if status != self.status.value:
            status.observed_at.FromNanoseconds(self._freshness.observed_ns)
            self.status.set(status)

    def view(self) -> View:
        """All that is known at this moment."""
        endpoints = self._known_endpoints()
        return View(
            replicas={name: {each: self._checks.get(each) for each in found} for name, found in endpoints.items()},
            deployments=self._known_deployments(),
            serving=tuple(self._serving.read(self._watches[SERVING].entries).values()),
            probes=dict(self._probes),
            expected_replicas=self._settings.expected_replicas,
            machine=dict(self._machine_problems),
            state_connected=all(watch.connected for watch in self._watches.values()),
        )

    def _known_endpoints(self) -> dict[str, list[str]]:
        services: dict[str, list[str]] = {}
        for endpoint in self._endpoints.read(self._watches[ENDPOINTS].entries).values():
            services.setdefault(endpoint.service, []).append(endpoint.address)
        return services

    def _known_deployments(self) -> dict[str, registry_pb2.Deployment]:
        found = self._deployments.read(self._watches[DEPLOYMENTS].entries)
        return {deployment.model: deployment for deployment in found.values()}
