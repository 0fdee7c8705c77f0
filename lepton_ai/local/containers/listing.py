"""The containers of a Compose project as a person wants to see them, from what the engine tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_SERVICE_LABEL = "com.docker.compose.service"
_NUMBER_LABEL = "com.docker.compose.container-number"


@dataclass(frozen=True)
class Container:
    """One container of the platform."""

    id: str
    name: str
    """As in local mode: `registry`; `preprocess-1` where there are several."""
    service: str
    status: str
    """The engine's word: created, running, restarting, paused, exited, dead."""
    health: str
    """What its health check says: starting, healthy, unhealthy; empty where it has none."""
    restarts: int
    exit_code: int
    started_at: float
    """Seconds since the epoch; 0 when it never ran."""
    published: Mapping[int, str]
    """Port inside → host:port on this machine."""
    out_of_memory: bool = False

    @property
    def is_running(self) -> bool:
        """Whether its process exists."""
        return self.status == "running"

    @property
    def is_ready(self) -> bool:
        """Whether it runs and, where it can say so, is healthy."""
        return self.is_running and self.health in ("healthy", "")

    @property
    def has_failed(self) -> bool:
        """Whether it is unlikely to become ready by itself: it keeps dying, or its health check has given up."""
        # The engine also calls a container unhealthy that it has stopped.
        gave_up = self.health == "unhealthy" and self.is_running
        return gave_up or (self.restarts >= _FAILED_STARTS and not self.is_ready)

    @property
    def state(self) -> str:
        """ready, starting, restarting, unhealthy or stopped."""
        if self.is_ready:
            return "ready"
        if self.health == "unhealthy" and self.is_running:
            return "unhealthy"
        if self.is_running or self.status in ("created", "restarting"):
            return "restarting" if self.restarts or self.status == "restarting" else "starting"
        return "stopped"

    @property
    def address(self) -> str:
        """Where its main port is reached from this machine; empty where it publishes none."""
        return self.published.get(MAIN_PORTS.get(self.service, 0), "")


_FAILED_STARTS = 3
MAIN_PORTS: Mapping[str, int] = {
    "inference": 8500,
    "registry": 8500,
    "health": 8500,
    "traces": 16686,
    "prometheus": 9090,
    "alertmanager": 9093,
    "grafana": 3000,
}
_PAGES = ("traces", "prometheus", "alertmanager", "grafana")
"""Parts whose main port is for a browser."""
OTLP_PORT = 4317
CONSOLE_PORT = 8080
_ORDER = ("etcd", "traces", "triton", "registry", "preprocess", "inference", "health")


def read_containers(described: Iterable[Mapping[str, Any]]) -> tuple[Container, ...]:
    """Containers from what `docker inspect` prints, in the order in which they start."""
    documents = [document for document in described if _SERVICE_LABEL in (document["Config"]["Labels"] or {})]
    services = [document["Config"]["Labels"][_SERVICE_LABEL] for document in documents]
    containers = [_read(document, is_one_of_many=services.count(_service(document)) > 1) for document in documents]
    return tuple(sorted(containers, key=_place))


def read_addresses(containers: Iterable[Container]) -> dict[str, str]:
    """Part → address, as in a local stack's run state."""
    addresses: dict[str, str] = {}
    for container in containers:
        if not container.address:
            continue
        is_page = container.service in _PAGES
        addresses[container.service] = f"http://{container.address}" if is_page else container.address
        if OTLP_PORT in container.published:
            addresses["otlp"] = container.published[OTLP_PORT]
        if CONSOLE_PORT in container.published:
            addresses["console"] = f"http://{container.published[CONSOLE_PORT]}"
    return addresses


def _read(document: Mapping[str, Any], *, is_one_of_many: bool) -> Container:
    state = document["State"]
    service = _service(document)
    number = document["Config"]["Labels"].get(_NUMBER_LABEL, "1")
    return Container(
        id=document["Id"],
        name=f"{service}-{number}" if is_one_of_many else service,
        service=service,
        status=state["Status"],
        health=(state.get("Health") or {}).get("Status", "").replace("none", ""),
        restarts=document.get("RestartCount", 0),
        exit_code=state.get("ExitCode", 0),
        started_at=_seconds(state.get("StartedAt", "")),
        published=_published(document["NetworkSettings"].get("Ports") or {}),
        out_of_memory=state.get("OOMKilled", False),
    )


def _service(document: Mapping[str, Any]) -> str:
    return str(document["Config"]["Labels"][_SERVICE_LABEL])


def _place(container: Container) -> tuple[int, str]:
    known = container.service in _ORDER
    return (_ORDER.index(container.service) if known else len(_ORDER), container.name)


def _published(ports: Mapping[str, Any]) -> dict[int, str]:
    """{"8500/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8500"}]} → {8500: "127.0.0.1:8500"}."""
    return {
        int(inside.partition("/")[0]): f"{bound[0]['HostIp']}:{bound[0]['HostPort']}"
        for inside, bound in ports.items()
        if bound
    }


def _seconds(timestamp: str) -> float:
    """The engine writes nanoseconds, more than Python reads, and the year 1 for "never"."""
    whole, _, _ = timestamp.rstrip("Z").partition(".")
    if not whole or whole.startswith("0001"):
        return 0.0
    return datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
