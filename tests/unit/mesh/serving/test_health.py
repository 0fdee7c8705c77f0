"""Health is NOT_SERVING until said otherwise, for good once shutdown began, and every watcher hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
from grpc_health.v1 import health_pb2

from lepton_ai.errors import NotFound
from lepton_ai.mesh.serving.handlers import ServicerContext
from lepton_ai.mesh.serving.health import NOT_SERVING, SERVICE_UNKNOWN, SERVING, Health

_NO_CONTEXT = cast(ServicerContext, None)


def watch(health: Health, service: str = "") -> AsyncIterator[health_pb2.HealthCheckResponse]:
    return health.Watch(health_pb2.HealthCheckRequest(service=service), _NO_CONTEXT)


async def check(health: Health, service: str = "") -> int:
    return (await health.Check(health_pb2.HealthCheckRequest(service=service), _NO_CONTEXT)).status


async def test_the_process_as_a_whole_is_not_serving_at_first() -> None:
    assert await check(Health()) == NOT_SERVING


async def test_unknown_services_are_not_found_by_check_and_unknown_to_watch() -> None:
    health = Health()
    with pytest.raises(NotFound):
        await check(health, "pkg.Nobody")
    assert (await anext(watch(health, "pkg.Nobody"))).status == SERVICE_UNKNOWN


async def test_nothing_brings_health_back_after_shutdown_began() -> None:
    health = Health()
    await health.set_all(SERVING)
    await health.enter_graceful_shutdown()
    await health.set_all(SERVING)
    assert await check(health) == NOT_SERVING


async def test_watchers_hear_every_change_though_others_leave() -> None:
    health = Health()
    leaving, staying = watch(health), watch(health)
    assert [(await anext(each)).status for each in (leaving, staying)] == [NOT_SERVING] * 2
    waiting = asyncio.ensure_future(anext(leaving))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait((waiting,))
    await health.set("", SERVING)
    assert (await asyncio.wait_for(anext(staying), 1)).status == SERVING


async def test_watches_end_after_telling_that_it_is_over() -> None:
    health = Health()
    await health.set("", SERVING)
    watching = watch(health)
    assert (await anext(watching)).status == SERVING
    await health.enter_graceful_shutdown()
    await health.close()
    assert [each.status async for each in watching] == [NOT_SERVING]
