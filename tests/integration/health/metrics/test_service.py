"""lepton.v1.MetricsService of a whole health service that measures real processes: itself, a page, and a real etcd."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from prometheus_client import Counter

from lepton_ai import Addresses, AsyncClient
from lepton_ai.errors import InvalidInput, ResourceExhausted
from lepton_ai.local.programs.etcd import LocalEtcd, running_etcd
from lepton_ai.mesh.discovery.endpoints import register
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.discovery.records import Endpoint
from lepton_ai.mesh.metrics import TRACE_ID, Metrics
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.testing import eventually
from services.health.service import build
from services.health.settings import HealthSettings

TRACE = "0af7651916cd43dd8448eb211c80319c"


@asynccontextmanager
async def health(etcd: LocalEtcd, data: Path) -> AsyncIterator[AsyncClient]:
    """A client of a health service that keeps its data here."""
    settings = HealthSettings(
        port=0,
        metrics_port=0,
        etcd_address=etcd.address,
        data_dir=data,
        scrape_interval_s=0.1,
        probe_interval_s=0.5,
        propagation_s=0,
    )
    server = await build(settings, EtcdStore(etcd.address), Tracing.create("health", settings))
    address = await server.start()
    await server.ready()
    async with AsyncClient(Addresses(health=address)) as client:
        yield client
    await server.drain()


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[LocalEtcd]:
    async with running_etcd(tmp_path / "etcd") as etcd:
        yield etcd


@pytest.fixture
async def client(etcd: LocalEtcd, tmp_path: Path) -> AsyncIterator[AsyncClient]:
    """Beside a registered process whose page counts calls of a model."""
    state, metrics = EtcdStore(etcd.address), Metrics("inference")
    calls = Counter("lepton_requests", "Calls.", ("model", "version", "code"), registry=metrics.registry)
    calls.labels("m", "1", "OK").inc(5)
    metrics.rpc_started()
    metrics.rpc_ended("pkg.S/M", grpc.StatusCode.OK, 0.02, TRACE)
    page = metrics.serve("127.0.0.1", 0)
    await register(state, Endpoint("inference", "10.0.0.1:8500", {"metrics": f"127.0.0.1:{page}"}))
    async with health(etcd, tmp_path / "data") as client:
        yield client
    await asyncio.to_thread(metrics.close)
    await state.close()


async def test_every_process_is_a_target_and_up(client: AsyncClient, etcd: LocalEtcd) -> None:
    async def all_up() -> bool:
        found = await client.metric_targets()
        return {each.service for each in found if each.up} == {"etcd", "health", "host", "inference"}

    await eventually(all_up, description="etcd, health, this machine and the registered process are up")
    targets = {each.service: each for each in await client.metric_targets()}
    assert targets["inference"].instance == "10.0.0.1:8500"
    assert targets["etcd"].instance == etcd.address
    assert targets["etcd"].samples > 100
    assert targets["host"].address == ""


async def test_expressions_are_answered_now_and_over_time(client: AsyncClient) -> None:
    async def counted() -> bool:
        return bool(await client.metrics("lepton_requests_total"))

    await eventually(counted, description="the page was read")
    (now,) = await client.metrics('sum by (model) (lepton_requests_total{service="inference"})')
    assert (dict(now.labels), list(now.values)) == ({"model": "m"}, [5])
    (series,) = await client.metrics("up{service='inference'}", since_s=60, step_s=0.5)
    assert series.values[-1] == 1
    assert len(series.times) == len(series.values)
    (scalar,) = await client.metrics("1 + 1")
    assert list(scalar.values) == [2]


async def test_wrong_questions_are_refused_with_why(client: AsyncClient) -> None:
    with pytest.raises(InvalidInput, match="expression"):
        await client.metrics("rate(")
    with pytest.raises(ResourceExhausted, match="steps"):
        await client.metrics("up", since_s=86400, step_s=0.001)
    with pytest.raises(InvalidInput):
        await client.metrics("up", since_s=10, step_s=-1)
    with pytest.raises(InvalidInput, match="selector"):
        await client.exemplars("1 + 1")
    with pytest.raises(InvalidInput, match="trend_points"):
        await client.kpis(trend_points=1000)


async def test_metrics_are_listed_with_what_they_mean(client: AsyncClient) -> None:
    async def known() -> bool:
        return any(each.name == "lepton_requests_total" for each in await client.metric_names())

    await eventually(known, description="the page was read")
    listed = {each.name: each for each in await client.metric_names()}
    calls = listed["lepton_requests_total"]
    assert (calls.type, calls.help, calls.series) == ("counter", "Calls.", 1)
    assert list(calls.labels) == ["code", "instance", "model", "service", "version"]
    assert listed["lepton_rpc_server_seconds_bucket"].type == "histogram"
    assert listed["up"].help


async def test_the_trace_behind_a_bucket_is_told(client: AsyncClient) -> None:
    async def found() -> bool:
        return bool(await client.exemplars('lepton_rpc_server_seconds_bucket{service="inference"}'))

    await eventually(found, description="the exemplar came")
    (exemplar,) = await client.exemplars('lepton_rpc_server_seconds_bucket{service="inference"}')
    assert TRACE_ID == "trace_id"
    assert (exemplar.trace_id, exemplar.value, exemplar.labels["le"]) == (TRACE, 0.02, "0.025")


async def test_kpis_have_a_row_for_each_subject(client: AsyncClient) -> None:
    async def told() -> bool:
        rows = (await client.kpis(trend_points=5)).rows
        return any(row.labels.get("model") == "m" for row in rows)

    await eventually(told, description="the model has a rate")
    table = await client.kpis(trend_points=5)
    row = next(row for row in table.rows if row.labels.get("model") == "m")
    assert row.values[0].kpi == "rate"
    assert len(row.values[0].trend) == 5
    names = {(each.scope, each.name) for each in table.kpis}
    assert all((row.scope, each.kpi) in names for row in table.rows for each in row.values)


async def test_health_measures_its_own_store(client: AsyncClient) -> None:
    async def told() -> bool:
        found = await client.metrics("lepton_metrics_series")
        return bool(found) and found[0].values[0] > 100

    await eventually(told, description="the number of series is among them")


async def test_a_restart_keeps_what_was_measured(etcd: LocalEtcd, tmp_path: Path) -> None:
    data = tmp_path / "data"
    question = "count_over_time(up{service='etcd'}[1h])"

    async def looks(asked: AsyncClient) -> float:
        found = await asked.metrics(question)
        return found[0].values[0] if found else 0

    async with health(etcd, data) as first:

        async def several() -> bool:
            return await looks(first) >= 5

        await eventually(several, description="etcd was looked at several times")
        before = await looks(first)
    async with health(etcd, data) as second:
        assert await looks(second) >= before
    assert [path for path in data.joinpath("metrics").iterdir() if re.search(r"\.(log|rows|minutes)$", path.name)]


async def test_what_rules_record_is_found_by_queries(client: AsyncClient) -> None:
    async def recorded() -> bool:
        found = await client.metrics('model:lepton_request_errors:rate1m{model="m"}', since_s=60, step_s=1)
        return any(len(series.values) > 1 for series in found)

    await eventually(recorded, timeout_s=30, description="the rule file's series are in the store")
