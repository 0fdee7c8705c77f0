"""Replicas are asked side by side; one that cannot be asked keeps no other from being asked."""

from __future__ import annotations

import logging
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from services.health.observe.replicas import ReplicaChecker


class Asked(ReplicaChecker):
    """Answers by table in place of the network."""

    def __init__(self, answers: dict[str, Any]) -> None:
        super().__init__(timeout_s=1)
        self.answers = answers

    async def _ask(self, address: str) -> health_pb2.HealthCheckResponse:
        answer = self.answers[address]
        if isinstance(answer, Exception):
            raise answer
        return health_pb2.HealthCheckResponse(status=answer)


def refused(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata())


async def test_each_gets_its_own_answer() -> None:
    checker = Asked(
        {
            "a:1": health_pb2.HealthCheckResponse.SERVING,
            "b:1": health_pb2.HealthCheckResponse.NOT_SERVING,
            "c:1": refused(grpc.StatusCode.UNAVAILABLE),
            "d:1": ValueError("not to be told"),
        }
    )
    checks = await checker.check_all(checker.answers)
    assert [check.serving for _, check in sorted(checks.items())] == [True, False, False, False]
    assert "nothing answers there" in checks["c:1"].message
    assert checks["d:1"].message
    assert "not to be told" not in checks["d:1"].message


async def test_one_that_cannot_be_asked_is_logged_once_for_as_long_as_it_is_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    checker = Asked({"a:1": ValueError("poison")})
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            await checker.check_all(["a:1"])
        assert len(caplog.records) == 1
        checker.answers["a:1"] = health_pb2.HealthCheckResponse.SERVING
        await checker.check_all(["a:1"])
        checker.answers["a:1"] = ValueError("poison")
        await checker.check_all(["a:1"])
        assert len(caplog.records) == 2
