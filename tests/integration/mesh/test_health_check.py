"""The check that containers run: it reads grpc.health.v1 without protobuf, so it is held against the real service."""

from __future__ import annotations

import asyncio
import sys

from grpc_health.v1 import health_pb2

from lepton_ai.mesh import health_check
from lepton_ai.testing.running import running


def test_it_knows_the_messages_by_their_bytes() -> None:
    assert health_pb2.HealthCheckRequest().SerializeToString() == health_check._WHOLE_PROCESS
    serving = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
    assert serving.SerializeToString() == health_check._SERVING


async def test_a_ready_server_serves_and_a_draining_or_absent_one_does_not() -> None:
    async with running() as server:
        assert await asyncio.to_thread(health_check.is_serving, server.address)
        address = server.address
    assert not await asyncio.to_thread(health_check.is_serving, address)


async def test_the_command_ends_with_what_it_found() -> None:
    async with running() as server:
        for address, expected in ((server.address, 0), ("127.0.0.1:1", 1)):
            process = await asyncio.create_subprocess_exec(sys.executable, "-m", "lepton_ai.mesh.health_check", address)
            assert await asyncio.wait_for(process.wait(), 20) == expected
