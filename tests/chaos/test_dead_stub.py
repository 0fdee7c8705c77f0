"""A dead Python stub: Triton goes on saying that the model is ready, Lepton notices and heals it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import grpc
import psutil
from google.protobuf import json_format
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lepton_ai.mesh.discovery.state import SERVING
from lepton_ai.testing import eventually
from lepton_ai.v1 import health_pb2
from tests.chaos.calls import PHOTOS, ROWS, row_calls
from tests.chaos.faults import kill, seconds_until, shared_state
from tests.chaos.recoveries import Recoveries
from tests.platform import Platform

_NOTICED_S = 5.0


@asynccontextmanager
async def published_states(platform: Platform, model: str) -> AsyncIterator[list[int]]:
    """Every state of the model that is published while the block runs, one after the other."""
    seen: list[int] = []
    async with shared_state(platform) as store:
        watch = await store.watch(SERVING)

        async def follow() -> None:
            async for entries in watch.changes():
                seen.extend(_states(entries, model))

        following = asyncio.create_task(follow())
        try:
            yield seen
        finally:
            await watch.close()
            await following


def _states(entries: Mapping[str, bytes], model: str) -> list[int]:
    replicas = [json_format.Parse(value, health_pb2.ServingState()) for value in entries.values()]
    return [status.state for replica in replicas for status in replica.versions if status.model == model]


def stubs_of(platform: Platform, model: str) -> list[psutil.Process]:
    """The processes of version 1; those of a copy that was unloaded before live on for two seconds."""
    return [stub for stub in platform.python_stubs() if f"{model}--v1" in " ".join(stub.cmdline())]


def triton_name_of(stub: psutil.Process) -> str:
    """A version that was loaded again before has another name in Triton."""
    (name,) = filter(None, (re.fullmatch(r"(.+--v\d+(-\d+)?)_\d+_\d+", part) for part in stub.cmdline()))
    return name[1]


async def triton_says_ready(platform: Platform, name: str) -> bool:
    async with grpc.aio.insecure_channel(platform.state.addresses["triton"]) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answer = await stub.ModelReady(service_pb2.ModelReadyRequest(name=name), timeout=5)
        return bool(answer.ready)


async def test_one_dead_stub_is_noticed_without_any_traffic_though_triton_calls_the_model_ready(
    platform: Platform, recoveries: Recoveries
) -> None:
    victim = max(stubs_of(platform, ROWS), key=lambda stub: stub.create_time())
    async with published_states(platform, ROWS) as states:
        name = triton_name_of(victim)
        await kill(victim)
        killed_s = time.monotonic()
        assert await triton_says_ready(platform, name)
        await eventually(
            lambda: health_pb2.VERSION_STATE_LOADING in states,
            timeout_s=_NOTICED_S,
            description="the model is published as not serving",
        )
        noticed_s = time.monotonic() - killed_s
        recoveries.record("kill -9: one idle Python stub", "it is noticed", noticed_s)
        async with platform.client() as client:
            healed_s = await seconds_until(
                row_calls(client, factors={1: 2.0}, timeout_s=1.0), description="a prediction succeeds"
            )
        recoveries.record("kill -9: one idle Python stub", "predictions", noticed_s + healed_s)
        await eventually(
            lambda: states[-1] == health_pb2.VERSION_STATE_SERVING, timeout_s=10, description="it is published again"
        )


async def test_the_other_model_is_not_disturbed(platform: Platform) -> None:
    victims = stubs_of(platform, PHOTOS)
    assert victims
    async with published_states(platform, ROWS) as states:
        await kill(*victims)
        async with platform.client() as client:
            ask = row_calls(client, factors={1: 2.0})
            for _ in range(20):
                await ask()
        assert set(states) == {health_pb2.VERSION_STATE_SERVING}
