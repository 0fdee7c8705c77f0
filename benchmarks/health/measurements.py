"""What measuring 20 processes costs: CPU, memory and disk, and how fast questions about an hour are answered."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from benchmarks.report import Report
from lepton_ai.testing import MemoryStore
from services.health.metrics.scraping.measuring import ScrapeOptions
from services.health.metrics.scraping.scraper import Scraper
from services.health.metrics.scraping.targets import Target
from services.health.metrics.series import NAME, Matcher
from services.health.metrics.storage.store import Bounds, MetricStore
from services.health.promql.evaluation import evaluate_range

_TARGETS, _SERIES = 20, 300
_CHANGING = 5
"""One series of so many changes between two looks."""
_HOUR_S, _STEP_S = 3600.0, 5.0
_WATCHED_S = 30.0
_BEGIN_S = 1.7e9 - 1.7e9 % _HOUR_S
_QUANTILE = "histogram_quantile(0.95, sum by (le) (rate(m1[1m])))"


async def measure(directory: Path) -> list[Report]:
    """Measure pages of another process, then ask about hours that are made up."""
    rows = [*await _scraping(directory / "scraped"), *await _asking(directory / "made-up")]
    note = (
        f"{_TARGETS} targets of {_SERIES} series every {_STEP_S:g} s, of which one in {_CHANGING} changes; CPU is "
        "process time of the health service's part, not of the processes that are measured."
    )
    return [Report("Measuring", ("what", "figure"), rows, note)]


async def _scraping(directory: Path) -> list[tuple[str, str]]:
    async with _pages() as addresses:
        store = MetricStore(directory, Bounds())
        await store.start()
        targets = {Target("pages", f"h:{number}", address) for number, address in enumerate(addresses)}
        scraper = Scraper(MemoryStore(), store, targets, ScrapeOptions(interval_s=_STEP_S))
        await scraper.start()
        await asyncio.sleep(2 * _STEP_S)  # all have been looked at once, and are spread
        began_s, began_cpu_s, began_bytes = time.perf_counter(), time.process_time(), store.size_bytes
        await asyncio.sleep(_WATCHED_S)
        passed_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        samples = _TARGETS * (_SERIES + 3) * passed_s / _STEP_S
        written = (store.size_bytes - began_bytes) / samples
        await scraper.close()
        await store.close()
    return [("CPU, of a core", f"{cpu_s / passed_s:.2%}"), ("disk as measured, bytes a sample", f"{written:.2f}")]


@asynccontextmanager
async def _pages() -> AsyncIterator[list[str]]:
    """Addresses of pages that another process serves."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, stdout=asyncio.subprocess.PIPE)
    try:
        told = b"" if process.stdout is None else await process.stdout.readline()
        yield told.decode().split()
    finally:
        process.kill()
        await process.wait()


async def _asking(directory: Path) -> list[tuple[str, str]]:
    store = MetricStore(directory, Bounds())
    await store.start()
    await _make_up(store, hours=3)
    samples = 3 * _HOUR_S / _STEP_S * _TARGETS * _SERIES
    held = sum(track.size_bytes for segment in store._segments for track in segment.tracks.values())
    end_s = _BEGIN_S + 3 * _HOUR_S
    hundred = [Matcher(NAME, "=", "m1"), Matcher("le", "=~", "[0-4]")]
    rows = [
        ("memory, bytes a sample", f"{held / samples:.2f}"),
        ("disk of ended hours with their minutes, bytes a sample", f"{store.size_bytes / samples:.2f}"),
    ]
    await store.select(hundred, end_s - _HOUR_S, end_s)
    began_s = time.perf_counter()
    found = await store.select(hundred, end_s - _HOUR_S, end_s)
    rows.append((f"an hour of {len(found)} series, ms", f"{(time.perf_counter() - began_s) * 1e3:.1f}"))
    began_s = time.perf_counter()
    await evaluate_range(_QUANTILE, store, end_s - _HOUR_S, end_s, 15.0)
    rows.append(("p95 of 300 series over an hour, 240 steps, ms", f"{(time.perf_counter() - began_s) * 1e3:.1f}"))
    await store.close()
    began_s = time.perf_counter()
    store = MetricStore(directory, Bounds())
    await store.start()
    rows.append(("restart with three hours, ms", f"{(time.perf_counter() - began_s) * 1e3:.0f}"))
    await store.close()
    return rows


async def _make_up(store: MetricStore, *, hours: int) -> None:
    generator = np.random.default_rng(0)
    targets = []
    for number in range(_TARGETS):
        columns = store.open({"service": "made-up", "instance": f"h:{number}"})
        for place in range(_SERIES):
            labels = {NAME: f"m{place // 15}", "le": str(place % 15), "model": "x"}
            store.admit(columns, labels, is_counter=place < _SERIES - 60)
        targets.append((columns, np.zeros(_SERIES)))
    for row in range(round(hours * _HOUR_S / _STEP_S)):
        for columns, values in targets:
            changed = generator.integers(0, _SERIES, _SERIES // _CHANGING)
            values[changed] += generator.integers(1, 5, len(changed))
            values[-10:] = generator.random(10)
            store.append(columns, _BEGIN_S + row * _STEP_S, values)
        if row % 120 == 0:
            await store._write_out()
    await store._write_out()


async def _serve_pages() -> None:
    """What the other process does: pages of histograms, some of whose numbers have grown each time."""
    values = {port: [0.0] * _SERIES for port in range(_TARGETS)}

    def page(number: int) -> bytes:
        for place in random.sample(range(_SERIES), _SERIES // _CHANGING):
            values[number][place] += random.choice((1, 2, random.random()))
        lines = [
            f'lepton_x_bucket{{code="OK",method="lepton.v1.Inference/M{place // 15}",le="{place % 15}"}} {each!r}'
            for place, each in enumerate(values[number])
        ]
        return "\n".join(["# TYPE lepton_x histogram", *lines, "# EOF\n"]).encode()

    def answering(number: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            content = page(number)
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
            await writer.drain()
            writer.close()

        return answer

    servers = [await asyncio.start_server(answering(number), "127.0.0.1", 0) for number in range(_TARGETS)]
    print(*(f"127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in servers), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_pages())
