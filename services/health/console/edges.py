"""Who calls whom how often, how fast and with which errors: as every process counts it, and as traces show the rest.

Counts are of all calls, traces of those that were sampled; and programs of users send no traces at all.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from typing import Any, Protocol

from lepton_ai.errors import LeptonError
from services.health.console.calls import CALLS

Json = dict[str, Any]
Calls = tuple[str, str]
_KEEP_S = 2.0
_RPC, _BATCH, _ITEM = "lepton_rpc_server_seconds", "lepton_batch_seconds", "lepton_preprocess_item_seconds"
_FAILED = 'code!~"OK|CANCELLED"'


class Traced(Protocol):
    """What traces say."""

    async def edges(self) -> Json:
        """See services.health.console.traced. Raises LeptonError."""


class Asks(Protocol):
    """What answers questions: the gateway."""

    async def read(self, service: str, method: str, request: Json, *, token: str = "") -> Json:
        """See Gateway.read."""


def _named(expression: str, callee: str) -> str:
    """A number without labels as one of calls from inference."""
    return f'label_replace(label_replace({expression}, "caller", "inference", "", ""), "service", "{callee}", "", "")'


def _rate(of: str, condition: str = "") -> str:
    chosen = f"{{{condition}}}" if condition else ""
    return f"rate({of}{chosen}[1m])"


def _counted(condition: str, triton: str) -> str:
    """Calls a second of every pair of services."""
    return " or ".join(
        (
            f"sum by (caller, service) ({_rate(f'{_RPC}_count', condition)})",
            _named(f"sum({triton})", "triton"),
            _named(f"sum({_rate(f'{_ITEM}_count', condition)})", "preprocess"),
        )
    )


def _quantile(share: float) -> str:
    return " or ".join(
        (
            f"histogram_quantile({share:g}, sum by (caller, service, le) ({_rate(f'{_RPC}_bucket')}))",
            _named(f"histogram_quantile({share:g}, sum by (le) ({_rate(f'{_BATCH}_bucket')}))", "triton"),
            _named(f"histogram_quantile({share:g}, sum by (le) ({_rate(f'{_ITEM}_bucket')}))", "preprocess"),
        )
    )


EXPRESSIONS: Mapping[str, str] = {
    "rate": _counted("", _rate(f"{_BATCH}_count")),
    "failing": _counted(_FAILED, _rate("nv_inference_request_failure")),
    "p50_s": _quantile(0.5),
    "p95_s": _quantile(0.95),
}
"""Figure → PromQL over the labels `caller` and `service`. Preprocessing takes its items over one stream for a replica,
and Triton knows no caller, so both are counted where they are worked on."""


class Edges:
    """Puts both together; asked again within two seconds it says the same."""

    def __init__(self, traced: Traced, asks: Asks) -> None:
        self._traced = traced
        self._asks = asks
        self._kept: tuple[float, Json] | None = None

    async def read(self) -> Json:
        """The edges, which services are known to call each other, and what figures are made of.

        Raises LeptonError where neither measurements nor traces can be asked.
        """
        if self._kept is None or time.monotonic() - self._kept[0] > _KEEP_S:
            self._kept = time.monotonic(), await self._read()
        return self._kept[1]

    async def _read(self) -> Json:
        counted, traced = await asyncio.gather(self._counted(), self._traced.edges(), return_exceptions=True)
        for each in (counted, traced):
            if isinstance(each, BaseException) and not isinstance(each, LeptonError):
                raise each
        if isinstance(counted, BaseException) and isinstance(traced, BaseException):
            raise traced
        seen: Json = {} if isinstance(traced, BaseException) else traced
        measured = {} if isinstance(counted, BaseException) else counted
        return {
            "known": [[caller, callee] for caller, callees in CALLS.items() for callee in callees],
            "traces": seen.get("traces", 0),
            "from_us": seen.get("from_us", 0),
            "to_us": seen.get("to_us", 0),
            "edges": merge(measured, seen),
            "expressions": dict(EXPRESSIONS),
        }

    async def _counted(self) -> Mapping[Calls, Mapping[str, float]]:
        answers = await asyncio.gather(
            *(
                self._asks.read("MetricsService", "Query", {"expression": expression})
                for expression in EXPRESSIONS.values()
            )
        )
        found: dict[Calls, dict[str, float]] = {}
        for figure, answer in zip(EXPRESSIONS, answers, strict=True):
            for sample in answer["samples"]:
                pair = sample["labels"].get("caller", ""), sample["labels"].get("service", "")
                found.setdefault(pair, {})[figure] = float(sample["value"])
        return found


def merge(counted: Mapping[Calls, Mapping[str, float]], traced: Json) -> list[Json]:
    """Every pair that calls, by name: as it was counted, else as traces show it."""
    span_s = max(1.0, (traced.get("to_us", 0) - traced.get("from_us", 0)) / 1e6)
    found: dict[Calls, Json] = {
        (each["caller"], each["callee"]): {
            "rate": each["calls"] / span_s,
            "failed": each["errors"] / each["calls"],
            "p50_us": each["p50_us"],
            "p95_us": each["p95_us"],
            "seen_in": "traces",
        }
        for each in traced.get("edges", ())
        if each["calls"]
    }
    for pair, figures in counted.items():
        rate = figures.get("rate", 0.0)
        if not all(pair) or pair[0] == pair[1] or not rate > 0:
            continue
        found[pair] = {
            "rate": rate,
            "failed": _finite(figures.get("failing", 0.0)) / rate,
            "p50_us": round(_finite(figures.get("p50_s", 0.0)) * 1e6),
            "p95_us": round(_finite(figures.get("p95_s", 0.0)) * 1e6),
            "seen_in": "counts",
        }
    return [{"caller": caller, "callee": callee, **found[caller, callee]} for caller, callee in sorted(found)]


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
