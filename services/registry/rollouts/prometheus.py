"""Asks Prometheus for the numbers of a rollout's own gates, by its HTTP API (api/v1/query)."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from services.registry.rollouts.conditions import MetricValue
from services.registry.rollouts.record import MetricGate, RolloutRecord

_TIMEOUT_S = 2.0
_MAX_BYTES = 1 << 20


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


def _filled(gate: MetricGate, rollout: RolloutRecord) -> str:
    query = gate.query.replace("$model", rollout.model).replace("$variant", rollout.variant)
    return query.replace("$old_version", str(rollout.old_version)).replace("$version", str(rollout.version))


def _read(answer: Any) -> MetricValue:
    """The one number of an instant query's answer."""
    match answer:
        case {"data": {"resultType": "scalar", "result": [_, str(text)]}}:
            return _number(text)
        case {"data": {"resultType": "vector", "result": [{"value": [_, str(text)]}]}}:
            return _number(text)
        case {"data": {"resultType": "vector", "result": []}}:
            return MetricValue(None, "there is no such series yet")
        case {"data": {"resultType": "vector", "result": list(several)}}:
            return MetricValue(None, f"the expression has {len(several)} values, aggregate them to one")
    return MetricValue(None, "the expression is no number at one time")


def _number(text: str) -> MetricValue:
    value = float(text)
    return MetricValue(value) if math.isfinite(value) else MetricValue(None, f"it is {text} now")
