"""The console of a real health service: where it is, what it sends, how it ends."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from lepton_ai.errors import FailedPrecondition
from lepton_ai.mesh.discovery.records import Endpoint, decode_endpoint
from lepton_ai.mesh.discovery.state import ENDPOINTS
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.testing import MemoryStore
from services.health.console.console import CONSOLE_ADDRESS
from services.health.service import build
from services.health.settings import HealthSettings
from tests.console import TOKEN


def settings(tmp_path: Path, port: int | None = 0) -> HealthSettings:
    return HealthSettings(
        data_dir=tmp_path / "health", console_port=port, token=TOKEN, check_interval_s=0.05, propagation_s=0, drain_s=2
    )


@dataclass
class Running:
    """A health service with its console."""

    server: Server
    state: MemoryStore
    http: httpx.AsyncClient


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    state = MemoryStore()
    made = settings(tmp_path)
    server = await build(made, state, Tracing.create("health", made))
    await server.start()
    await server.ready()
    (record,) = [each async for each in endpoints(state)]
    async with httpx.AsyncClient(base_url=f"http://{record.metadata[CONSOLE_ADDRESS]}", trust_env=False) as http:
        yield Running(server, state, http)
    await server.drain()


async def endpoints(state: MemoryStore) -> AsyncIterator[Endpoint]:
    watch = await state.watch(ENDPOINTS)
    for key, value in watch.entries.items():
        yield decode_endpoint(key, value)
    await watch.close()


async def test_discovery_tells_where_it_is(running: Running) -> None:
    assert (await running.http.get("/")).status_code == 200


async def test_it_makes_the_same_calls_as_everybody(running: Running) -> None:
    answer = await running.http.get("/api/rpc/HealthService/GetStatus")
    assert [each["name"] for each in answer.json()["services"]] == ["health", "inference", "preprocess", "registry"]


async def test_what_needs_the_token_elsewhere_needs_it_here(running: Running) -> None:
    asked = "/api/rpc/EventService/ListLogs"
    assert (await running.http.get(asked)).status_code == 401
    answer = await running.http.get(asked, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200


async def test_a_service_that_is_away_is_an_error_with_what_to_do(running: Running) -> None:
    answer = await running.http.get("/api/rpc/RegistryService/ListModels")
    assert answer.status_code == 503
    assert "Start the registry service" in answer.json()["error"]["fix"]


async def test_a_drain_ends_the_streams_of_open_pages(running: Running) -> None:
    async with running.http.stream("GET", "/api/live", timeout=20) as answer:
        lines = answer.aiter_lines()
        async for line in lines:
            if line.startswith("data: {") and "condition" in json.loads(line.removeprefix("data: ")):
                break
        draining = asyncio.create_task(running.server.drain())
        async with asyncio.timeout(10):
            async for _ in lines:
                continue  # until the stream ends by itself
        await draining


async def test_a_taken_port_is_said_with_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        made = settings(tmp_path, taken.getsockname()[1])
        with pytest.raises(FailedPrecondition) as caught:
            await build(made, MemoryStore(), Tracing.create("health", made))
    assert "LEPTON_CONSOLE_PORT" in caught.value.fix
