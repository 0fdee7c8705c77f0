"""The numbers of a rollout's own gates: of a Prometheus by its HTTP API (api/v1/query), else of the health service,
which answers PromQL on what it measures of the platform itself."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lepton_ai.errors import InvalidInput, LeptonError, ResourceExhausted
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.v1 import metrics_pb2, metrics_pb2_grpc
from services.registry.rollouts.conditions import MetricValue
from services.registry.rollouts.record import MetricGate, RolloutRecord

_TIMEOUT_S = 2.0
_MAX_BYTES = 1 << 20


class MetricSource(Protocol):
    """Answers expressions."""

    async def ask(self, rollout: RolloutRecord) -> Mapping[str, MetricValue]:
        """The number of every gate of a rollout, or why there is none. Returns within seconds in any case."""


class Prometheus:
    """A server that answers queries."""

    def __init__(self, url: str) -> None:
        """`url`: http or https, with name and password in it where it asks for them."""
        parts = urllib.parse.urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self._base = urllib.parse.urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        self._headers = {}
        if parts.username is not None:
            login = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"

    async def ask(self, rollout: RolloutRecord) -> Mapping[str, MetricValue]:
        """The number of every gate of a rollout, or why there is none. Returns within seconds in any case."""
        gates = rollout.plan.metrics
        values = await asyncio.gather(*(asyncio.to_thread(self._value, _filled(gate, rollout)) for gate in gates))
        return {gate.name: value for gate, value in zip(gates, values, strict=True)}

    def _value(self, query: str) -> MetricValue:
        url = f"{self._base}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        request = urllib.request.Request(url, headers=self._headers)  # noqa: S310 - settings allow http and https only
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
                return _read(json.loads(response.read(_MAX_BYTES)))
        except urllib.error.HTTPError as error:
            return MetricValue(None, f"Prometheus refuses the expression (status {error.code})")
        except (OSError, ValueError):
            return MetricValue(None, "Prometheus does not answer")


class HealthMetrics:
    """The health service, on what it measures."""

    def __init__(self, health: ServicePool) -> None:
        self._health = health

    async def ask(self, rollout: RolloutRecord) -> Mapping[str, MetricValue]:
        """The number of every gate of a rollout, or why there is none. Returns within seconds in any case."""
        gates = rollout.plan.metrics
        values = await asyncio.gather(*(self._value(_filled(gate, rollout)) for gate in gates))
        return {gate.name: value for gate, value in zip(gates, values, strict=True)}

    async def _value(self, expression: str) -> MetricValue:
        request = metrics_pb2.QueryRequest(expression=expression)
        try:
            answer = await self._health.call(
                lambda channel, left_s: metrics_pb2_grpc.MetricsServiceStub(channel).Query(request, timeout=left_s),
                timeout_s=_TIMEOUT_S,
            )
        except (InvalidInput, ResourceExhausted) as error:
            return MetricValue(None, f"health refuses it: {str(error)[:200]}")
        except LeptonError:
            return MetricValue(None, "health does not answer")
        return _single([sample.value for sample in answer.samples])


def _filled(gate: MetricGate, rollout: RolloutRecord) -> str:
    query = gate.query.replace("$model", rollout.model).replace("$variant", rollout.variant)
    return query.replace("$old_version", str(rollout.old_version)).replace("$version", str(rollout.version))


def _read(answer: Any) -> MetricValue:
    """The one number of an instant query's answer."""
    match answer:
        case {"data": {"resultType": "scalar", "result": [_, str(text)]}}:
            return _single([float(text)])
        case {"data": {"resultType": "vector", "result": [{"value": [_, str(text)]}]}}:
            return _single([float(text)])
        case {"data": {"resultType": "vector", "result": list(found)}} if len(found) != 1:
            return _single([math.nan] * len(found))
    return MetricValue(None, "the expression is no number at one time")


def _single(values: Sequence[float]) -> MetricValue:
    if not values:
        return MetricValue(None, "there is no such series yet")
    if len(values) > 1:
        return MetricValue(None, f"the expression has {len(values)} values, aggregate them to one")
    return MetricValue(values[0]) if math.isfinite(values[0]) else MetricValue(None, f"it is {values[0]:g} now")
