"""From `lepton up` to the first right answer, with models pushed and deployed before."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

from benchmarks.report import Report
from examples.efficientnet_lite0 import NAME, photos
from lepton_ai import AsyncClient
from lepton_ai.errors import LeptonError
from tests.platform import running_platform

_ROUNDS = 3
_TIMEOUT_S = 60.0


async def measure(home: Path) -> list[Report]:
    """Start a platform that knows its model several times. `home` is the run directory of one that is down."""
    times_s = []
    for _ in range(_ROUNDS):
        begin_s = time.monotonic()
        with running_platform(home) as platform:
            ready_s = time.monotonic() - begin_s
            async with platform.client() as client:
                await _first_right_answer(client)
            times_s.append((ready_s, time.monotonic() - begin_s))
    ready = statistics.median(first for first, _ in times_s)
    answered = statistics.median(second for _, second in times_s)
    rows = [["everything ready", f"{ready:.1f}"], ["first right answer", f"{answered:.1f}"]]
    return [Report("Start-up, warm", ("from `lepton up` to", "seconds"), rows, f"Median of {_ROUNDS}.")]


async def _first_right_answer(client: AsyncClient) -> None:
    photo = photos()[1]
    end_s = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            prediction = await client.predict(NAME, photo.path)
            if prediction.labels[0].index == photo.label_index:
                return
        except LeptonError:
            if time.monotonic() > end_s:
                raise
        await asyncio.sleep(0.02)
