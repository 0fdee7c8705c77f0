"""kill -9 of every process: what it takes down comes back by itself, and what has a stand-in is not missed."""

from __future__ import annotations

import time
from collections.abc import Sequence

import psutil
import pytest

from lepton_ai.testing import eventually
from tests.chaos.calls import KnownPhoto, photo_calls
from tests.chaos.faults import RECOVERY_S, kill, seconds_until, until_ready
from tests.chaos.load import load
from tests.chaos.recoveries import Recoveries
from tests.platform import Platform

_HANG_NOTICED_S = 25.0
_STUBS = "all Python stubs of Triton"


def _victims(platform: Platform, name: str) -> list[psutil.Process]:
    return platform.python_stubs() if name == _STUBS else [platform.process(name)]


@pytest.mark.parametrize("name", ["triton", "inference", _STUBS])
async def test_predictions_come_back_by_themselves(
    platform: Platform, known_photos: tuple[KnownPhoto, ...], recoveries: Recoveries, name: str
) -> None:
    async with platform.client(timeout_s=5.0) as client:
        ask = photo_calls(client, known_photos, timeout_s=1.0)
        async with load(photo_calls(client, known_photos)) as running:
            victims = _victims(platform, name)
            assert victims
            await kill(*victims)
            seconds = await seconds_until(ask, description="a prediction succeeds")
            await running.more(30)
    recoveries.record(
        f"kill -9: {name}", "predictions", seconds, failed=len(running.failures), answered=running.answers
    )
    assert seconds <= RECOVERY_S


async def test_a_triton_that_died_is_on_the_time_line(platform: Platform) -> None:
    async with platform.client() as client:
        replica = platform.addresses.inference

        async def told() -> Sequence[str]:
            events = await client.events(labels={"service": "triton", "instance": replica}, kinds=["restart"])
            return [event.title for event in events if event.at.ToSeconds() >= killed_s]

        killed_s = int(time.time())
        await kill(platform.process("triton"))
        titles = await eventually(told, timeout_s=RECOVERY_S, description="the restart is told")
    assert titles == [f"the Triton of {replica} was started anew"]
    await until_ready(platform)


async def test_a_triton_that_hangs_is_ended_and_predictions_come_back(
    platform: Platform, known_photos: tuple[KnownPhoto, ...], recoveries: Recoveries
) -> None:
    hung = platform.process("triton")
    hung.suspend()  # alive and silent, as after an abort in whose handler it stops
    async with platform.client(timeout_s=5.0) as client:
        await eventually(lambda: not hung.is_running(), timeout_s=_HANG_NOTICED_S, description="it is ended")
        ask = photo_calls(client, known_photos, timeout_s=1.0)
        seconds = await seconds_until(ask, description="a prediction succeeds")
    recoveries.record("Triton hangs", "predictions, once it is ended", seconds)


@pytest.mark.parametrize("name", ["preprocess-1", "registry", "etcd", "health", "traces"])
async def test_no_prediction_fails(
    platform: Platform, known_photos: tuple[KnownPhoto, ...], recoveries: Recoveries, name: str
) -> None:
    async with platform.client() as client, load(photo_calls(client, known_photos)) as running:
        await kill(platform.process(name))
        seconds = await until_ready(platform)
        await running.more(30)
    recoveries.record(
        f"kill -9: {name}", "the process is ready", seconds, failed=len(running.failures), answered=running.answers
    )
    assert not running.failures
    assert seconds <= RECOVERY_S
