"""How soon an alert says what is broken: real faults on a real platform, until an alert fires."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import grpc

from benchmarks.report import Report
from lepton_ai import AsyncClient
from lepton_ai.errors import LeptonError
from lepton_ai.testing import eventually
from tests.chaos.faults import hanging, stopped, until_healthy
from tests.platform import Platform

_WITHIN_S = 90.0
_LOOK_EVERY_S = 0.05
_QUIET_S = 120.0


@dataclass(frozen=True)
class Fault:
    """Something that breaks, and the alerts of which one says so."""

    what: str
    inflict: Callable[[Platform], AbstractAsyncContextManager[None]]
    alerts: frozenset[str]


@asynccontextmanager
async def _hang(platform: Platform, name: str) -> AsyncIterator[None]:
    with hanging(platform.process(name)):
        yield


def _stop(name: str) -> Callable[[Platform], AbstractAsyncContextManager[None]]:
    return lambda platform: stopped(platform, name)


def _hangs(name: str) -> Callable[[Platform], AbstractAsyncContextManager[None]]:
    return lambda platform: _hang(platform, name)


FAULTS = (
    Fault("inference is gone", _stop("inference"), frozenset({"InferenceDown", "ModelDown"})),
    Fault("inference hangs", _hangs("inference"), frozenset({"InferenceDown", "ModelDown"})),
    Fault("preprocess is gone", _stop("preprocess"), frozenset({"ServiceDown"})),
    Fault("preprocess hangs", _hangs("preprocess"), frozenset({"ServiceDown"})),
    Fault("registry is gone", _stop("registry"), frozenset({"ServiceDown"})),
    Fault("registry hangs", _hangs("registry"), frozenset({"ServiceDown"})),
    Fault("Triton is gone", _stop("triton"), frozenset({"TritonDown", "TritonAway", "ModelDown"})),
    Fault("Triton hangs", _hangs("triton"), frozenset({"TritonDown", "TritonAway", "ModelDown"})),
    Fault("etcd is gone", _stop("etcd"), frozenset({"EtcdDown"})),
    Fault("etcd hangs", _hangs("etcd"), frozenset({"EtcdDown"})),
)


async def measure(platform: Platform) -> list[Report]:
    """Break one thing after the other, each on a platform that is well again."""
    rows, times_s = [], []
    async with platform.client(timeout_s=5.0) as client:
        for fault in FAULTS:
            await _until_quiet(platform, client)
            began_s = time.monotonic()
            async with fault.inflict(platform):
                inflicted_s = time.monotonic()
                name = await _first_alert(client, fault.alerts)
                passed_s = time.monotonic() - inflicted_s
            times_s.append(passed_s)
            rows.append([fault.what, name or "none", f"{passed_s:.1f}", f"{inflicted_s - began_s:.1f}"])
    rows.append(["median", "", f"{statistics.median(times_s):.1f}", ""])
    note = (
        "From the moment at which the process is gone, or stopped by SIGSTOP, until an alert is seen to fire (looked "
        f"for every {_LOOK_EVERY_S:g} s). Stopping: how long the process took to end."
    )
    return [Report("From fault to alert", ("fault", "alert", "seconds", "stopping"), rows, note)]


async def _first_alert(client: AsyncClient, wanted: frozenset[str]) -> str:
    end_s = time.monotonic() + _WITHIN_S
    while time.monotonic() < end_s:
        try:
            names = {alert.labels["alertname"] for alert in await client.alerts(states=["firing"])}
        except (LeptonError, grpc.aio.AioRpcError):
            names = set()
        if found := names & wanted:
            return min(found)
        await asyncio.sleep(_LOOK_EVERY_S)
    return ""


async def _until_quiet(platform: Platform, client: AsyncClient) -> None:
    """All is well, and every alert of the fault before is over."""
    await until_healthy(platform, within_s=_QUIET_S)
    told = frozenset().union(*(fault.alerts for fault in FAULTS))

    async def quiet() -> bool:
        return not {alert.labels["alertname"] for alert in await client.alerts()} & told

    await eventually(quiet, timeout_s=_QUIET_S, interval_s=0.2, description="the alerts of the last fault are over")
