"""`python -m services.inference` as a process of its own, while everything it needs is away."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.testing import eventually
from lepton_ai.v1 import common_pb2, inference_pb2
from lepton_ai.v1.inference_pb2_grpc import InferenceServiceStub
from tests.service_process import service_process
from tests.transports import TRANSPORTS
from tests.unit.inference.colours import RED, item


@pytest.fixture(params=TRANSPORTS)
async def process(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The process and its address, which its log tells."""
    settings = {
        "LEPTON_TRITON_ADDRESS": "127.0.0.1:1",
        "LEPTON_MODEL_REPOSITORY": str(tmp_path / "models"),
        "LEPTON_CACHE_DIR": str(tmp_path / "cache"),
        "LEPTON_READY_AFTER_S": "0.2",
        "LEPTON_TRANSPORT": request.param,
    }
    async with service_process("inference", **settings) as started:
        yield started


async def test_without_etcd_and_triton_it_gets_ready_says_why_nothing_is_served_and_ends_cleanly(
    process: tuple[asyncio.subprocess.Process, str],
) -> None:
    running, address = process
    async with grpc.aio.insecure_channel(address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)

        async def serving() -> bool:
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

        await eventually(serving, timeout_s=10, description="the port says it is ready")
        request = inference_pb2.PredictRequest(model=common_pb2.ModelRef(name="colours"), items=[item(RED)])
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await InferenceServiceStub(channel).Predict(request, timeout=5)
        error = from_rpc_error(failure.value)
        assert (failure.value.code(), error.reason) == (grpc.StatusCode.UNAVAILABLE, "STARTING")
        assert error.retry_after_s is not None
        triton: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert (await triton.ServerMetadata(service_pb2.ServerMetadataRequest(), timeout=5)).name == "lepton"
    running.send_signal(signal.SIGTERM)
    async with asyncio.timeout(15):
        assert await running.wait() == 0


async def test_the_client_of_triton_is_answered(process: tuple[asyncio.subprocess.Process, str]) -> None:
    client = InferenceServerClient(process[1])
    try:
        assert await client.is_server_live(client_timeout=5)
        assert (await client.get_server_metadata(client_timeout=5)).name == "lepton"
        assert not await client.is_model_ready("colours", client_timeout=5)
        with pytest.raises(InferenceServerException, match="UNAVAILABLE"):
            await client.get_model_metadata("colours", client_timeout=5)
    finally:
        await client.close()
