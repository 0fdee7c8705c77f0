"""What pages are told of as it changes, each topic small enough to be sent whole."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Protocol

from lepton_ai.mesh.latest import Latest
from lepton_ai.v1 import health_pb2
from services.health.console.digest import digest
from services.health.console.figures import figures
from services.health.console.live import Follow, every

Json = dict[str, Any]
_CLOCK_S = 5.0
_MODELS_S = 5.0
_ROLLOUTS_S = 2.0
_KPIS_S = 5.0
_ALERTS_S = 2.0
_EVENTS_S = 2.0
_MOST_ROLLOUTS = 50
_MOST_EVENTS = 60
_EVENTS_BACK_S = 86_400.0
_TREND = {"trend_points": 30, "trend_seconds": 600}


class Reads(Protocol):
    """What answers questions: the gateway."""

    async def read(self, service: str, method: str, request: Json) -> Json:
        """See Gateway.read."""


def topics(status: Latest[health_pb2.PlatformStatus], gateway: Reads) -> Mapping[str, Follow]:
    """Topic → how it is followed. The clock lets a page notice that nothing comes any more."""
    asked: Mapping[str, tuple[float, Callable[[], Awaitable[Any]]]] = {
        "clock": (_CLOCK_S, _clock),
        "models": (_MODELS_S, partial(_models, gateway)),
        "rollouts": (_ROLLOUTS_S, partial(_rollouts, gateway)),
        "kpis": (_KPIS_S, partial(_kpis, gateway)),
        "alerts": (_ALERTS_S, partial(gateway.read, "AlertService", "ListAlerts", {})),
        "events": (_EVENTS_S, partial(_events, gateway)),
    }
    return {
        "status": partial(_status, status),
        **{topic: partial(every, interval_s, read) for topic, (interval_s, read) in asked.items()},
    }


async def _status(status: Latest[health_pb2.PlatformStatus]) -> AsyncIterator[Json]:
    async for each in status.changes():
        yield digest(each)


async def _clock() -> float:
    return time.time()


async def _models(gateway: Reads) -> list[Json]:
    """Every model with its aliases and routes; of its versions the page asks when somebody looks at them."""
    listed = await gateway.read("RegistryService", "ListModels", {"summary": True})
    return [_model(each) for each in listed["models"]]


def _model(model: Mapping[str, Any]) -> Json:
    versions = model["versions"]
    return {
        "name": model["name"],
        "aliases": model["aliases"],
        "routes": (model.get("deployment") or {}).get("routes", []),
        "versions": len(versions),
        "newest": versions[0]["version"] if versions else None,
    }


async def _rollouts(gateway: Reads) -> list[Json]:
    listed = await gateway.read("RegistryService", "ListRollouts", {"limit": _MOST_ROLLOUTS})
    rollouts: list[Json] = listed["rollouts"]
    return rollouts


async def _kpis(gateway: Reads) -> Json:
    return figures(await gateway.read("MetricsService", "ListKpis", _TREND))


async def _events(gateway: Reads) -> list[Json]:
    since_s = int(time.time() - _EVENTS_BACK_S)
    # To the minute, so that the answer stays the same while nothing happens.
    since = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(since_s))
    listed = await gateway.read("EventService", "ListEvents", {"since": since, "limit": _MOST_EVENTS})
    events: list[Json] = listed["events"]
    return events
