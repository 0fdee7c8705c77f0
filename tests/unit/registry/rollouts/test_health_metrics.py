"""Conditions on what the platform measures of itself: health answers with one number, or there is a reason why not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import grpc
import pytest

from lepton_ai.errors import InvalidInput, LeptonError, Unavailable
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.v1 import metrics_pb2 as pb
from services.registry.rollouts.conditions import MetricValue
from services.registry.rollouts.prometheus import HealthMetrics
from services.registry.rollouts.record import MetricGate, Plan, RolloutRecord, State

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Channel:
    """Remembers what is asked over it, and answers with what it was given."""

    def __init__(self, *values: float) -> None:
        self.values, self.asked = values, list[str]()

    def unary_unary(self, method: str, *_: Any, **__: Any) -> Any:
        async def query(request: pb.QueryRequest, timeout: float) -> pb.QueryResponse:
            self.asked.append(request.expression)
            return pb.QueryResponse(samples=[pb.MetricSample(value=value) for value in self.values])

        return query

    def __getattr__(self, name: str) -> Any:
        return self.unary_unary


class Health:
    """The health service, or (with an error) one that does not answer as it should."""

    def __init__(self, channel: Channel, error: LeptonError | None = None) -> None:
        self.channel, self.error = channel, error

    async def call(self, invoke: Any, *, timeout_s: float) -> Any:
        if self.error is not None:
            raise self.error
        return await invoke(cast(grpc.aio.Channel, self.channel), timeout_s)


async def ask(channel: Channel, error: LeptonError | None = None) -> MetricValue:
    plan = Plan((500,), 60.0, 0.0, metrics=(MetricGate("m", 'rate(x{m="$model",v="$version"}[1m])', "<", 1.0),))
    rollout = RolloutRecord(1, "cat", 12, 3, plan, State.RUNNING, 0, 0.0, True, "", "", NOW, NOW)
    return (await HealthMetrics(cast(ServicePool, Health(channel, error))).ask(rollout))["m"]


async def test_one_sample_is_the_number_of_the_rollouts_version() -> None:
    channel = Channel(0.5)
    assert await ask(channel) == MetricValue(0.5)
    assert channel.asked == ['rate(x{m="cat",v="12"}[1m])']


@pytest.mark.parametrize(
    ("values", "problem"), [((), "no such series"), ((1.0, 2.0), "2 values, aggregate"), ((float("nan"),), "nan now")]
)
async def test_without_one_number_the_reason_is_said(values: tuple[float, ...], problem: str) -> None:
    found = await ask(Channel(*values))
    assert found.number is None
    assert problem in found.problem


async def test_what_health_refuses_is_told_and_while_it_is_away_there_is_no_number() -> None:
    refused = await ask(Channel(), InvalidInput.of_field("expression", "ends in the middle"))
    assert "ends in the middle" in refused.problem
    assert await ask(Channel(), Unavailable("away")) == MetricValue(None, "health does not answer")
