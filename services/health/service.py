"""The health service as one coroutine, whatever process it runs in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.discovery.endpoints import watch_endpoints
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.discovery.state import StateStore
from lepton_ai.mesh.logs import configure_logging
from lepton_ai.mesh.logs.reporter import report_logs
from lepton_ai.mesh.loops import run_loop
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.process import run
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.v1 import (
    alerts_pb2_grpc,
    drift_pb2_grpc,
    feedback_pb2_grpc,
    health_pb2_grpc,
    metrics_pb2_grpc,
    registry_pb2,
)
from services.health.alerts import servicer as alerts
from services.health.alerts.causes.explaining import Witnesses
from services.health.alerts.judges.platform import PlatformJudge
from services.health.alerts.judges.rollouts import RolloutJudge
from services.health.alerts.servicer import AlertServicer
from services.health.alerts.station import AlertStation, Sources
from services.health.console.console import add_console
from services.health.detect.anomalies.judge import AnomalyJudge
from services.health.detect.drift import servicer as drifting
from services.health.detect.drift.book import DriftBook
from services.health.detect.drift.judge import DriftJudge
from services.health.detect.drift.servicer import DriftServicer
from services.health.events.wiring import add_events
from services.health.feedback import servicer as feedback
from services.health.feedback.desk import FeedbackDesk
from services.health.feedback.judge import QualityJudge
from services.health.feedback.servicer import FeedbackServicer
from services.health.metrics import servicer as measured
from services.health.metrics.servicer import MetricsServicer
from services.health.metrics.wiring import Measurements
from services.health.observe.golden import GoldenSamples
from services.health.observe.measures import ViewCollector
from services.health.observe.observer import Observer
from services.health.observe.probes import ModelProber
from services.health.observe.replicas import ReplicaChecker
from services.health.promql.rules.file import rules_for_health
from services.health.promql.rules.judge import RuleJudge
from services.health.promql.rules.keeping import KeptRecords
from services.health.servicer import SERVICE, HealthServicer, mirror
from services.health.settings import HealthSettings


async def build(settings: HealthSettings, state: StateStore, tracing: Tracing) -> Server:
    """Everything wired together and started; the server is what the caller runs and drains."""
    metrics = Metrics("health")
    server = Server("health", settings, state=state, tracing=tracing, metrics=metrics)
    server.on_close(state.close)  # closed last: closing goes backwards
    pools = {name: await _pool(name, state, server, settings) for name in ("inference", "registry")}
    samples = GoldenSamples(pools["registry"], max_bytes=settings.max_golden_bytes, timeout_s=settings.probe_timeout_s)
    observer = await _add_observer(
        server, settings, state, ModelProber(pools["inference"], samples, timeout_s=settings.probe_timeout_s)
    )
    drift = _add_drift(server, settings)
    desk = _add_feedback(server, settings, drift)
    measurements = await _add_metrics(server, settings, state, metrics)
    events = await add_events(server, settings, observer.watches, pools["registry"])
    rules = RuleJudge(rules_for_health(), measurements.store, KeptRecords(measurements.store))

    def deployments() -> Mapping[str, registry_pb2.Deployment]:
        return observer.view().deployments

    judges = (
        PlatformJudge(observer),
        RolloutJudge(pools["registry"]),
        rules,
        events.judge,
        QualityJudge(desk, deployments),
        DriftJudge(drift, interval_s=settings.drift_interval_s, pending_s=settings.drift_pending_s),
        AnomalyJudge(rules.reader),
    )
    sources = Sources(
        judges,
        deployments=deployments,
        descriptions=samples,
        series=measurements.store,
        changes=events.timeline,
        witnesses=Witnesses(measurements.store, events.timeline, events.judge),
    )
    await _add_alerts(server, settings, state, sources)
    await add_console(server, settings, observer, pools["registry"], desk)
    return server


async def _add_observer(server: Server, settings: HealthSettings, state: StateStore, prober: ModelProber) -> Observer:
    observer = Observer(state, ReplicaChecker(timeout_s=settings.check_timeout_s), prober, settings)
    await observer.start()
    ViewCollector(server.metrics.registry, lambda: observer.seen, lambda: observer.observed_ns)
    mirroring = run_loop(partial(mirror, observer, server.health), name="mirror health")

    async def close() -> None:
        await observer.close()
        mirroring.cancel()
        await asyncio.wait([mirroring])

    server.on_close(close)
    servicer = HealthServicer(observer, draining=server.draining)
    server.add(health_pb2_grpc.add_HealthServiceServicer_to_server, servicer, SERVICE)
    return observer


async def _add_metrics(server: Server, settings: HealthSettings, state: StateStore, metrics: Metrics) -> Measurements:
    measurements = await Measurements.start(settings, state, metrics, lambda: server.address)
    server.on_close(measurements.close)
    servicer = MetricsServicer(measurements.store, measurements.scraper)
    server.add(metrics_pb2_grpc.add_MetricsServiceServicer_to_server, servicer, measured.SERVICE)
    return measurements


def _add_drift(server: Server, settings: HealthSettings) -> DriftBook:
    drift = DriftBook(settings.data_dir / "drift.json")
    drift.start()
    server.on_close(drift.close)
    server.add(drift_pb2_grpc.add_DriftServiceServicer_to_server, DriftServicer(drift), drifting.SERVICE)
    tokens = settings.tokens()
    if tokens:
        server.require_token(tokens, drifting.SERVICE, open_methods=drifting.OPEN_METHODS)
    return drift


def _add_feedback(server: Server, settings: HealthSettings, drift: DriftBook) -> FeedbackDesk:
    desk = FeedbackDesk(
        settings.data_dir,
        max_bytes=settings.max_prediction_bytes,
        keep_s=settings.keep_predictions_s,
        per_minute=settings.feedback_per_minute,
        max_input_bytes=settings.max_input_bytes,
    )
    desk.start()
    server.on_close(desk.close)
    tokens = settings.tokens()
    servicer = FeedbackServicer(desk, tokens=tokens, drift=drift)
    server.add(feedback_pb2_grpc.add_FeedbackServiceServicer_to_server, servicer, feedback.SERVICE)
    if tokens:
        server.require_token(tokens, feedback.SERVICE, open_methods=feedback.OPEN_METHODS)
    return desk


async def _add_alerts(server: Server, settings: HealthSettings, state: StateStore, sources: Sources) -> None:
    station = AlertStation(settings, state, sources)
    await station.start()
    server.on_close(station.close)
    tokens = settings.tokens()
    servicer = AlertServicer(station.desk, station.slo, tokens=tokens, draining=server.draining)
    server.add(alerts_pb2_grpc.add_AlertServiceServicer_to_server, servicer, alerts.SERVICE)
    if tokens:
        server.require_token(tokens, alerts.SERVICE, open_methods=alerts.OPEN_METHODS)


async def _pool(service: str, state: StateStore, server: Server, settings: HealthSettings) -> ServicePool:
    endpoints = await watch_endpoints(state, service)
    pool = ServicePool(service, endpoints, max_message_bytes=settings.max_message_bytes, caller="health")
    await pool.start()
    server.on_close(endpoints.close)
    server.on_close(pool.close)
    return pool


async def main() -> None:
    """Read the settings, serve until told to stop."""
    settings = HealthSettings.load()
    waiting = configure_logging("health", level=settings.log_level, log_format=settings.log_format)
    state = EtcdStore(settings.etcd_address, login=settings.etcd_login())
    server = await build(settings, state, Tracing.create("health", settings))
    report_logs(server, waiting, await _pool("health", state, server, settings), token=settings.read_token())
    await run(server)
