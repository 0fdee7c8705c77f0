"""What health has seen as numbers for Prometheus, so that rules and panels can tell of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lepton_ai.v1 import health_pb2 as pb
from services.health.observe.assessment import production_version
from services.health.observe.view import EXPECTED_SERVICES, View

# Whoever scrapes gives every series the labels `service` and `instance` of the process that says it, which is health.
_SERVICE, _REPLICA = "of_service", "replica"


class ViewCollector(Collector):
    """Reads the newest view when Prometheus asks; both callables may be called from any thread."""

    def __init__(self, registry: CollectorRegistry, view: Callable[[], View], observed_ns: Callable[[], int]) -> None:
        self._view = view
        self._observed_ns = observed_ns
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """All gauges of one view."""
        view = self._view()
        yield _gauge("lepton_observed_timestamp_seconds", "When all of this was looked at.", self._observed_ns() / 1e9)
        yield _gauge("lepton_state_connected", "1 while etcd answers health, else 0.", float(view.state_connected))
        yield from _replicas(view)
        yield from _tritons(view)
        yield from _models(view)
        yield from _probes(view)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _replicas(view: View) -> Iterator[Metric]:
    found = GaugeMetricFamily("lepton_replicas", "Registered replicas by state.", labels=(_SERVICE, "state"))
    expected = GaugeMetricFamily("lepton_replicas_expected", "Replicas that should be registered.", labels=(_SERVICE,))
    for name in sorted({*EXPECTED_SERVICES, *view.expected_replicas, *view.replicas}):
        checks = view.replicas.get(name, {}).values()
        failing = sum(check is not None and not check.serving for check in checks)
        found.add_metric([name, "serving"], len(checks) - failing)
        found.add_metric([name, "failing"], failing)
        expected.add_metric([name], view.expected_replicas.get(name, 1))
    yield found
    yield expected


def _tritons(view: View) -> Iterator[Metric]:
    ready = GaugeMetricFamily("lepton_triton_ready", "1 while the replica's Triton answers.", labels=(_REPLICA,))
    restarts = CounterMetricFamily(
        "lepton_triton_restarts", "How often the replica has met its Triton started anew.", labels=(_REPLICA,)
    )
    for state in view.serving:
        ready.add_metric([state.replica], float(state.triton_ready))
        restarts.add_metric([state.replica], float(state.triton_restarts))
    yield ready
    yield restarts


def _models(view: View) -> Iterator[Metric]:
    """A series for each model and the version that production calls should go to."""
    labels = ("model", "version")
    deployed = GaugeMetricFamily("lepton_model_deployed", "1 for the version that is to answer.", labels=labels)
    serving = GaugeMetricFamily("lepton_model_serving_replicas", "Replicas that serve that version.", labels=labels)
    ready = Counter(
        (each.model, each.version)
        for state in view.serving
        for each in state.versions
        if each.state == pb.VERSION_STATE_SERVING
    )
    for model, deployment in sorted(view.deployments.items()):
        wanted = production_version(deployment)
        if wanted:
            deployed.add_metric([model, str(wanted)], 1)
            serving.add_metric([model, str(wanted)], ready[model, wanted])
    yield deployed
    yield serving


def _probes(view: View) -> Iterator[Metric]:
    labels = ("model", "version")
    success = GaugeMetricFamily("lepton_probe_success", "1 when the last test prediction was right.", labels=labels)
    seconds = GaugeMetricFamily("lepton_probe_seconds", "How long it took.", labels=labels)
    at = GaugeMetricFamily("lepton_probe_timestamp_seconds", "When it was made.", labels=labels)
    for model, probe in sorted(view.probes.items()):
        if model in view.deployments:
            version = str(probe.model_version)
            success.add_metric([model, version], float(probe.succeeded))
            seconds.add_metric([model, version], probe.duration_us / 1e6)
            at.add_metric([model, version], probe.probed_at.ToNanoseconds() / 1e9)
    yield success
    yield seconds
    yield at
