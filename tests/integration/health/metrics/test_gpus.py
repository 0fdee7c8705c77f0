"""What a Triton with GPUs tells of them is kept, and is in the KPIs, in the console's charts and in Grafana's."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.health.console.app import STATIC
from services.health.metrics.kpis import KPIS, MACHINE
from services.health.metrics.scraping.measuring import Measuring, ScrapeOptions
from services.health.metrics.scraping.targets import Target
from services.health.metrics.storage.store import Bounds, MetricStore
from services.health.promql.evaluation import evaluate
from tests.integration.health.metrics.pages import page, serving
from tests.promql.dashboards import EMPTY_HERE, queries

TRITON = """\
# HELP nv_gpu_utilization GPU utilization rate [0.0 - 1.0)
# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{gpu_uuid="GPU-1"} 0.41
nv_gpu_utilization{gpu_uuid="GPU-2"} 0.93
# HELP nv_gpu_memory_total_bytes GPU total memory, in bytes
# TYPE nv_gpu_memory_total_bytes gauge
nv_gpu_memory_total_bytes{gpu_uuid="GPU-1"} 16000000000
nv_gpu_memory_total_bytes{gpu_uuid="GPU-2"} 16000000000
# HELP nv_gpu_memory_used_bytes GPU used memory, in bytes
# TYPE nv_gpu_memory_used_bytes gauge
nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 4000000000
nv_gpu_memory_used_bytes{gpu_uuid="GPU-2"} 12000000000
# HELP nv_gpu_power_usage GPU power usage in watts
# TYPE nv_gpu_power_usage gauge
nv_gpu_power_usage{gpu_uuid="GPU-1"} 120.5
nv_gpu_power_usage{gpu_uuid="GPU-2"} 250
"""
AT = {"instance": "10.0.0.1:8500"}
"""Of the replica whose Triton it is."""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[MetricStore]:
    """Filled by one look at such a page."""
    store = MetricStore(tmp_path, Bounds())
    await store.start()
    async with serving(page(TRITON)) as address:
        measuring = Measuring(Target("triton", AT["instance"], address), store, ScrapeOptions(timeout_s=5.0))
        await measuring.look()
    assert measuring.last.up, measuring.last.error
    yield store
    await store.close()


async def values(store: MetricStore, expression: str) -> dict[str, float]:
    """By GPU."""
    found = await evaluate(expression, store, time.time())
    return {each.labels.get("gpu_uuid", ""): round(each.value, 6) for each in found}


async def test_their_use_memory_and_power_are_kpis_of_the_machine(store: MetricStore) -> None:
    wanted = {"gpu": 0.93, "gpu_memory": 0.75, "gpu_power": 370.5}
    for kpi in KPIS:
        if kpi.scope == MACHINE and kpi.name in wanted:
            assert await values(store, kpi.expression) == {"": wanted.pop(kpi.name)}
    assert wanted == {}


async def test_they_are_in_the_charts_of_the_console_and_of_grafana(store: MetricStore) -> None:
    panels = json.loads((STATIC / "panels.json").read_text("utf-8"))["platform"]
    charts = {each["name"]: await values(store, each["expression"]) for each in panels if each.get("optional")}
    assert charts == {
        "gpu_use": {"GPU-1": 0.41, "GPU-2": 0.93},
        "gpu_memory": {"GPU-1": 0.25, "GPU-2": 0.75},
        "gpu_power": {"GPU-1": 120.5, "GPU-2": 250.0},
    }
    shown = [each for each in queries() if EMPTY_HERE.match(each.panel)]
    assert len(shown) == 3
    for query in shown:
        assert set(await values(store, query.expression)) == {"GPU-1", "GPU-2"}, query
