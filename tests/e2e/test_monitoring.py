"""Every panel of the dashboards finds something, every rule looks at what there is: on a real stack that is used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from examples.efficientnet_lite0 import NAME, photos
from lepton_ai import AsyncClient
from lepton_ai.errors import LeptonError
from lepton_ai.local.processes.run_directory import RunDirectory
from lepton_ai.testing import eventually
from services.health.metrics.scraping.targets import HOST, Target
from services.health.promql.rules.file import read_rules
from tests.platform import Platform
from tests.promql.dashboards import EMPTY_HERE, Query, inlined, metric_names, queries
from tests.promql.prometheus import LocalPrometheus, installed, running_prometheus
from tests.promql.relay import page_of, relaying
from tests.sample_packages import onnx_bytes, onnx_package

CACHED = "remembered"
PANELS = [query for query in queries() if not EMPTY_HERE.match(query.panel)]
_SUFFIXES = ("_total", "_bucket", "_sum", "_count")
_NOT_ON_PAGES = {"up", "ALERTS", "lepton_tls_certificate_expiry_timestamp_seconds"}
"""Made by whoever measures and judges; or of ports with TLS, which this stack has none of."""


@pytest.fixture
async def client(platform: Platform, tmp_path: Path) -> AsyncIterator[AsyncClient]:
    """On a stack that serves a model with a cache, too."""
    made = onnx_package(tmp_path / CACHED, model=onnx_bytes(factor=2.0), name=CACHED, cache={"answers": True})
    async with platform.client(trace_ratio=1.0, timeout_s=30.0) as client:
        await client.push(made.directory)
        await client.deploy(CACHED)
        yield client


async def use(client: AsyncClient) -> None:
    """What users do: pictures, the same row twice, and a call that cannot work."""
    for photo in photos()[:2]:
        await client.predict(NAME, photo.path)
    for _ in range(2):
        await client.infer(CACHED, {"x": np.array([[1, 2, 3, 4]], np.float32)})
    with pytest.raises(LeptonError):
        await client.predict("no-such-model", photos()[0].path)


async def targets(client: AsyncClient, platform: Platform) -> list[Target]:
    """Who is measured, by what health says; every part of the stack is among them."""
    found = [
        Target(
            each.service, each.instance, each.address or f"unix:{RunDirectory(platform.home).socket_of(each.service)}"
        )
        for each in await client.metric_targets()
    ]
    assert {each.service for each in found} >= {"inference", "triton", "preprocess", "registry", "etcd", HOST}
    return found


async def test_every_panel_finds_something_in_healths_own_measurements(client: AsyncClient) -> None:
    missing = list(PANELS)

    async def all_found() -> bool:
        await use(client)
        for query in list(missing):
            if await client.metrics(inlined(query.expression)):
                missing.remove(query)
        assert not missing, "\n".join(map(str, missing))
        return True

    await eventually(all_found, timeout_s=90, description="every panel has data")


@pytest.mark.skipif(not installed(), reason="no Prometheus here (apt-get install prometheus)")
async def test_every_panel_finds_something_in_a_real_prometheus(
    client: AsyncClient, platform: Platform, tmp_path: Path
) -> None:
    missing = list(PANELS)

    async def all_found(server: LocalPrometheus) -> bool:
        await use(client)
        for query in list(missing):
            if await _has_data(server, query):
                missing.remove(query)
        assert not missing, "\n".join(map(str, missing))
        return True

    async with (
        relaying(await targets(client, platform)) as configuration,
        running_prometheus(tmp_path, configuration) as server,
    ):
        await eventually(lambda: all_found(server), timeout_s=90, description="every panel has data")
        groups = (await server.get("rules"))["groups"]
    failing = {rule["name"]: rule["lastError"] for group in groups for rule in group["rules"] if rule.get("lastError")}
    assert failing == {}


async def _has_data(server: LocalPrometheus, query: Query) -> bool:
    answer = await server.instant(query.expression)
    assert answer["status"] == "success", f"{query}: {answer['error']}"
    return bool(answer["data"]["result"])


async def test_rules_and_panels_look_at_metrics_that_the_stack_has(client: AsyncClient, platform: Platform) -> None:
    pages = [await page_of(target) for target in await targets(client, platform)]
    families = {line.split()[2] for page in pages for line in page.decode().splitlines() if line.startswith("# TYPE ")}
    recorded = {rule.record for group in read_rules() for rule in group.rules if rule.record}
    expressions = [
        *(rule.expr for group in read_rules() for rule in group.rules),
        *(each.expression for each in PANELS),
    ]
    names = {name for expression in expressions for name in metric_names(expression)} - _NOT_ON_PAGES - recorded
    unknown = {name for name in names if name not in families and not families & _without_suffix(name)}
    assert unknown == set()


def _without_suffix(name: str) -> set[str]:
    return {name.removesuffix(suffix) for suffix in _SUFFIXES}
