"""`python -m services.preprocess` as a process of its own: serves without etcd, drains on SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lepton_ai.v1 import preprocess_pb2
from lepton_ai.v1.preprocess_pb2_grpc import PreprocessServiceStub
from tests.integration.preprocess.serving import Stream, photo
from tests.integration.preprocess.test_stream import EFFICIENTNET
from tests.photos import imagenet_photos
from tests.service_process import service_process


@pytest.fixture
async def process() -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    async with service_process("preprocess") as running:
        yield running


async def test_a_photo_is_processed_and_sigterm_ends_stream_and_process_cleanly(
    process: tuple[asyncio.subprocess.Process, str],
) -> None:
    running, address = process
    async with grpc.aio.insecure_channel(address) as channel:
        stub = PreprocessServiceStub(channel)
        stream = Stream(stub)
        await stream.define(EFFICIENTNET)
        await stream.send(EFFICIENTNET.digest, {1: photo(imagenet_photos()[0].read_bytes())})
        assert (await stream.read(1))[1].HasField("tensors")
        health_stub: Any = health_pb2_grpc.HealthStub(channel)
        health = await health_stub.Check(
            health_pb2.HealthCheckRequest(service="lepton.v1.PreprocessService"), timeout=5
        )
        assert health.status == health_pb2.HealthCheckResponse.SERVING

        await stream.send(EFFICIENTNET.digest, {k: photo(imagenet_photos()[k].read_bytes()) for k in range(2, 12)})
        first = await stream.read(1)
        running.send_signal(signal.SIGTERM)
        rest = await stream.rest()

        assert set(first) | set(rest) == set(range(2, 12))
        assert await stream.call.code() is grpc.StatusCode.OK
    assert await asyncio.wait_for(running.wait(), timeout=15) == 0


async def test_operations_are_told(process: tuple[asyncio.subprocess.Process, str]) -> None:
    async with grpc.aio.insecure_channel(process[1]) as channel:
        method = channel.unary_unary(
            "/lepton.v1.PreprocessService/ListOperations",
            request_serializer=preprocess_pb2.ListOperationsRequest.SerializeToString,
            response_deserializer=preprocess_pb2.ListOperationsResponse.FromString,
        )
        answer = await method(preprocess_pb2.ListOperationsRequest(), timeout=5)
    assert len(answer.operations) >= 16
