"""300,000 requests of all kinds against the real services, and how much each process grew with them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import grpc
import psutil

from benchmarks.leaks.growth import ALLOWED_MB, PER_REQUESTS, Reading, growth_mb
from benchmarks.leaks.mixture import Mixture, kinds
from benchmarks.report import Report
from examples.efficientnet_lite0 import photos
from lepton_ai.local.processes.run_directory import RunDirectory
from lepton_ai.local.processes.supervision import Supervisor
from lepton_ai.local.processes.table import PARTS, Layout, Part, part_of
from tests.platform import Platform

REQUESTS = 300_000
_CALLERS = 24
_EVERY_S = 0.5
_SERVICES = frozenset({"inference", "registry", "health", "preprocess"})

Readings = Mapping[str, list[Reading]]


def leaky_parts() -> tuple[Part, ...]:
    """The platform's parts, its inference service with a planted leak."""
    return tuple(replace(part, command=_leaky_command) if part.name == "inference" else part for part in PARTS)


def _leaky_command(layout: Layout, _name: str) -> tuple[str, ...]:
    return layout.python_module("benchmarks.leaks.leaky_inference")


async def measure(platform: Platform, *, requests: int) -> list[Report]:
    """Make the requests, and read the memory of every process meanwhile."""
    content = [photo.path.read_bytes() for photo in photos()]
    address = platform.state.addresses["inference"].split(",")[0]
    begin_s = time.perf_counter()
    async with grpc.aio.insecure_channel(address) as channel:
        mixture = Mixture(kinds(channel, content))
        over = asyncio.Event()
        reader = asyncio.create_task(_read(platform.home, mixture, over))
        try:
            await mixture.run(requests, callers=_CALLERS)
        finally:
            over.set()
        readings = await reader
    return [report(readings, mixture.made, time.perf_counter() - begin_s)]


async def _read(home: Path, mixture: Mixture, over: asyncio.Event) -> Readings:
    statuses = await asyncio.to_thread(Supervisor(RunDirectory(home)).processes)
    processes = {each.name: psutil.Process(each.pid) for each in statuses if each.pid is not None}
    readings: dict[str, list[Reading]] = {name: [] for name in processes}
    while not over.is_set():
        for name, process in processes.items():
            readings[name].append(Reading(mixture.requests, process.memory_info().rss / 1e6))
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), _EVERY_S)
    return readings


def report(readings: Readings, made: Mapping[str, int], took_s: float) -> Report:
    """A row for each process, those of the four services first."""
    rows = []
    for name, seen in sorted(readings.items(), key=lambda each: (part_of(each[0]) not in _SERVICES, each[0])):
        grown = growth_mb(seen)
        judged = part_of(name) in _SERVICES
        verdict = "–" if not judged else "leaks" if grown > ALLOWED_MB else "flat"
        middle = seen[len(seen) // 2]
        figures = [f"{rss_mb:.1f}" for rss_mb in (seen[0].rss_mb, middle.rss_mb, seen[-1].rss_mb)]
        rows.append([name, *figures, f"{grown:+.2f}", verdict])
    total = sum(made.values())
    mixture = ", ".join(f"{count / total:.1%} {name}" for name, count in made.items())
    note = (
        f"{total:,} requests in {took_s:.0f} s: {mixture}. Growth: median slope between all pairs of samples of the "
        f"second half; at most {ALLOWED_MB:g} MB for {PER_REQUESTS:,} requests is no leak."
    )
    columns = ("process", "MB at first", "in the middle", "in the end", f"growth for {PER_REQUESTS:,}", "")
    return Report("Memory under load", columns, rows, note)
