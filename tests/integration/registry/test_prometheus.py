"""Asking Prometheus: what its HTTP API answers is one number, or a reason why there is none."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from services.registry.rollouts.conditions import MetricValue
from services.registry.rollouts.prometheus import Prometheus
from services.registry.rollouts.record import MetricGate, Plan, RolloutRecord, State

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Server(ThreadingHTTPServer):
    """Answers every query with `result`, as Prometheus writes it, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.result_type, self.result = 200, "vector", [{"metric": {}, "value": [1.0, "0.5"]}]
        self.asked: list[str] = []
        self.logins: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked += parse_qs(urlsplit(self.path).query)["query"]
        self.server.logins.append(self.headers["Authorization"])
        data = {"resultType": self.server.result_type, "result": self.server.result}
        body = json.dumps({"status": "success", "data": data}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


async def ask(url: str, query: str = "up") -> MetricValue:
    plan = Plan((500,), 60.0, 0.0, metrics=(MetricGate("m", query, "<", 1.0),))
    rollout = RolloutRecord(1, "cat", 12, 3, plan, State.RUNNING, 0, 0.0, True, "", "", NOW, NOW)
    return (await Prometheus(url).ask(rollout))["m"]


async def test_the_rollout_is_named_in_the_query(server: Server) -> None:
    assert await ask(server.url, 'rate(x{m="$model",v="$version",o="$old_version"}[1m])') == MetricValue(0.5)
    assert server.asked == ['rate(x{m="cat",v="12",o="3"}[1m])']


async def test_a_scalar_is_a_number_too(server: Server) -> None:
    server.result_type, server.result = "scalar", [1.0, "2"]  # type: ignore[list-item]
    assert await ask(server.url) == MetricValue(2.0)


async def test_a_login_in_the_address_is_used(server: Server) -> None:
    await ask(server.url.replace("//", "//anna:p%40ss@"))
    assert server.logins == ["Basic YW5uYTpwQHNz"]


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        ([], "no such series"),
        ([{"metric": {}, "value": [1, "1"]}] * 2, "2 values, aggregate"),
        ([{"metric": {}, "value": [1, "NaN"]}], "nan now"),
    ],
)
async def test_without_one_number_the_reason_is_said(server: Server, result: list[Any], problem: str) -> None:
    server.result = result
    found = await ask(server.url)
    assert found.number is None
    assert problem in found.problem


async def test_an_expression_that_is_refused_or_a_server_that_is_away_is_no_number(server: Server) -> None:
    server.status = 400
    assert "status 400" in (await ask(server.url)).problem
    assert await ask("http://127.0.0.1:9") == MetricValue(None, "Prometheus does not answer")
