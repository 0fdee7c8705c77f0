"""Measurements of the whole platform: every process is measured, and a model that is called has its numbers."""

from __future__ import annotations

import json

import pytest

from examples.efficientnet_lite0 import NAME, photos
from lepton_ai.testing import eventually
from lepton_ai.v1 import metrics_pb2
from tests.platform import Platform

EVERYBODY = {"etcd", "health", "host", "inference", "preprocess", "registry", "traces", "triton"}


async def test_every_process_of_the_stack_is_a_target_and_up(platform: Platform) -> None:
    async with platform.client() as client:

        async def all_up() -> bool:
            return {each.service for each in await client.metric_targets() if each.up} == EVERYBODY

        await eventually(all_up, description="every process is up", timeout_s=30)
        (count,) = await client.metrics("count(up == 1)")
    assert set(platform.state.processes) | {"host"} == EVERYBODY
    assert count.values[0] == len(platform.state.processes) + 1


async def test_a_model_that_was_called_shows_its_rate_its_latency_and_a_trace_behind_it(platform: Platform) -> None:
    async with platform.client(trace_ratio=1.0) as client:

        async def numbers() -> dict[str, float]:
            await client.predict(NAME, photos()[0].path)
            rows = (await client.kpis()).rows
            of_model = [row for row in rows if row.scope == metrics_pb2.KPI_SCOPE_MODEL]
            return {each.kpi: each.value for row in of_model if row.labels["model"] == NAME for each in row.values}

        async def complete() -> bool:
            found = await numbers()
            return found.get("rate", 0) > 0 and 0 < found.get("p95", 0) < 30 and found.get("probe") == 1

        await eventually(complete, description="rate, p95 and probe are there", timeout_s=40)
        selector = f'lepton_request_seconds_bucket{{model="{NAME}"}}'

        async def traced() -> bool:
            return bool(await client.exemplars(selector))

        await eventually(traced, description="a trace is behind a bucket", timeout_s=20)
        trace_id = (await client.exemplars(selector))[0].trace_id
    assert "lepton.v1.InferenceService/Predict" in platform.lepton("trace", trace_id).stdout


async def test_tritons_own_counters_are_among_them(platform: Platform) -> None:
    async with platform.client() as client:

        async def counted() -> bool:
            await client.predict(NAME, photos()[0].path)
            found = await client.metrics(f'nv_inference_count{{service="triton",model=~"{NAME}--v.*"}}')
            return bool(found) and found[0].values[0] > 0

        await eventually(counted, description="Triton's inferences are counted", timeout_s=20)


@pytest.mark.parametrize(
    "arguments",
    [
        ("top",),
        ("top", "--once"),
        ("metrics",),
        ("metrics", "--targets"),
        ("metrics", "sum by (service) (up)"),
        ("metrics", "up", "--since", "1m", "--step", "5s"),
    ],
)
def test_the_commands_show_it(platform: Platform, arguments: tuple[str, ...]) -> None:
    done = platform.lepton(*arguments)
    assert done.returncode == 0, done.stderr
    assert "inference" in done.stdout
    done = platform.lepton(*arguments, "--json")
    assert json.loads(done.stdout)


def test_a_wrong_expression_says_what_is_wrong(platform: Platform) -> None:
    done = platform.lepton("metrics", "rate(up)")
    assert done.returncode == 1
    assert "expression" in done.stderr
