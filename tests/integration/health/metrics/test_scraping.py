"""Measuring real pages over sockets: those that are well, and those that hang, lie, or send 100 MB."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from lepton_ai.mesh.discovery.endpoints import register
from lepton_ai.mesh.discovery.records import Endpoint
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.testing import MemoryStore, eventually
from services.health.metrics.scraping.measuring import Look, Measuring, OwnPage, ScrapeOptions
from services.health.metrics.scraping.scraper import Scraper
from services.health.metrics.scraping.targets import HOST, Target
from services.health.metrics.series import NAME, Matcher, Series, is_stale
from services.health.metrics.storage.store import TOO_MANY, Bounds, MetricStore
from tests.integration.health.metrics.pages import HEAD, Answer, drip, hang, page, saying, serving

OPTIONS = ScrapeOptions(interval_s=0.1, timeout_s=0.5, max_page_bytes=1 << 20)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[MetricStore]:
    store = MetricStore(tmp_path, Bounds())
    await store.start()
    yield store
    await store.close()


async def looked_at(store: MetricStore, answer: Answer, options: ScrapeOptions = OPTIONS) -> Look:
    async with serving(answer) as address:
        measuring = Measuring(Target("liar", "h:1", address), store, options)
        await measuring.look()
        return measuring.last


async def newest(store: MetricStore, name: str, **labels: str) -> float | None:
    matchers = [Matcher(NAME, "=", name), *(Matcher(label, "=", value) for label, value in labels.items())]
    found = await store.select(matchers, 0, 1e12)
    return float(found[0].values[-1]) if found else None


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (hang, "did not come within"),
        (drip, "did not come within"),
        (page("x" * (2 << 20)), "larger than"),
        (saying(b"HTTP/1.0 200 OK\r\nContent-Length: 104857600\r\n\r\n"), "larger than"),
        (saying(b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\na 1\n"), "cut short"),
        (saying(b"HTTP/1.0 200 OK\r\nContent-Length: many\r\n\r\na 1\n"), "does not speak HTTP"),
        (saying(b"HTTP/1.0 404 Not Found\r\n\r\n"), "status 404"),
        (saying(b"HTTP/1.0 200 OK\r\n" + b"x" * (1 << 20)), "does not speak HTTP"),
        (saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n0\r\n\r\n"), "encoding"),
        (saying(b"220 smtp.example.org ready\r\n\r\n"), "does not speak HTTP"),
        (saying(b""), "does not speak HTTP"),
        (page("<html>It works!</html>"), "no measurement"),
    ],
)
async def test_what_hangs_or_lies_is_down_and_says_why(store: MetricStore, answer: Answer, why: str) -> None:
    last = await looked_at(store, answer)
    assert why in last.error
    assert not last.up
    assert await newest(store, "up", service="liar") == 0
    assert await newest(store, "scrape_samples_scraped") == 0
    assert 0 <= (await newest(store, "scrape_duration_seconds") or -1) < 1


async def test_the_process_that_measures_is_not_too_late_for_itself(store: MetricStore) -> None:
    metrics = Metrics("health")
    Gauge("own", "…", registry=metrics.registry).set(7)
    own = OwnPage(lambda: "h:1", metrics.page)
    async with serving(hang) as address:
        for instance, is_up in (("h:1", 1), ("h:2", 0)):
            measuring = Measuring(Target("health", instance, address), store, OPTIONS, own=own)
            await measuring.look()
            assert await newest(store, "up", service="health", instance=instance) == is_up
    assert await newest(store, "own", service="health", instance="h:1") == 7


async def test_where_nothing_listens_is_down(store: MetricStore) -> None:
    measuring = Measuring(Target("gone", "h:1", "127.0.0.1:1"), store, OPTIONS)
    await measuring.look()
    assert "Nothing answers there" in measuring.last.error
    assert await newest(store, "up") == 0


async def test_a_hundred_megabytes_are_never_in_memory(store: MetricStore) -> None:
    line = b"a" * 1000 + b" 1\n"
    megabyte = line * (10**6 // len(line))
    answer = saying(HEAD, *[megabyte] * 100)
    tracemalloc.start()
    try:
        last = await looked_at(store, answer, ScrapeOptions(timeout_s=10, max_page_bytes=8 << 20))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "larger than 8,388,608 bytes" in last.error
    assert peak < 24 << 20


async def test_lies_are_kept_as_data_and_break_nothing(store: MetricStore) -> None:
    lies = '# TYPE c_total counter\nc_total -7\nn NaN\ni +Inf\nt 5 4102444800000\nup 1\ns{service="x",instance="y"} 3\n'
    last = await looked_at(store, page(lies))
    assert last.up
    assert last.samples == 6
    assert await newest(store, "c_total") == -7
    times = (await store.select([Matcher(NAME, "=", "t")], 0, 1e12))[0].times_s
    assert times.tolist() == [last.at_s], "when it was looked at, not when the page says"
    assert await newest(store, "up") == 1
    assert await newest(store, "exported_up") == 1
    assert await newest(store, "s", exported_service="x", exported_instance="y", service="liar") == 3


async def test_more_series_than_a_target_may_have_are_refused_and_counted(store: MetricStore) -> None:
    text = "".join(f'a{{b="{number}"}} 1\n' for number in range(500))
    last = await looked_at(store, page(text), ScrapeOptions(max_target_series=100))
    assert last.up
    assert last.samples == 500
    assert store.missed[TOO_MANY] == 400
    assert store.series_count == 103


async def test_series_that_change_their_names_each_time_do_not_pile_up(store: MetricStore) -> None:
    numbers = iter(range(10**6))

    async def churn(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + "".join(f'a{{b="{next(numbers)}"}} 1\n' for _ in range(200)).encode())

    async with serving(churn) as address:
        measuring = Measuring(Target("churn", "h:1", address), store, ScrapeOptions(max_target_series=10_000))
        for _ in range(30):
            await measuring.look()
    assert store.series_count < 1000
    assert measuring.last.up


async def test_registered_processes_their_triton_and_this_machine_are_measured(store: MetricStore) -> None:
    state = MemoryStore()
    metrics, triton = Metrics("inference"), CollectorRegistry()
    Counter("asked", "Asked.", registry=metrics.registry).inc(3)
    Gauge("nv_gpu_utilization", "Use.", registry=triton).set(0.5)
    port, triton_page = metrics.serve("127.0.0.1", 0), Metrics("triton")
    triton_page.registry = triton
    told = {"metrics": f"127.0.0.1:{port}", "triton_metrics": f"127.0.0.1:{triton_page.serve('127.0.0.1', 0)}"}
    publication = await register(state, Endpoint("inference", "10.0.0.1:8500", told))
    second = await register(state, Endpoint("inference", "10.0.0.1:8501", {"triton_metrics": told["triton_metrics"]}))
    await register(state, Endpoint("preprocess", "10.0.0.1:8530"))  # has no page
    scraper = Scraper(state, store, {Target(HOST, "here", HOST)}, OPTIONS)
    await scraper.start()
    try:

        async def all_up() -> bool:
            return len(scraper.targets) == 3 and all(each.last.up for each in scraper.targets)

        await eventually(all_up, description="all three are up")
        assert [each.target.service for each in scraper.targets] == ["host", "inference", "triton"]
        assert await newest(store, "asked_total", service="inference", instance="10.0.0.1:8500") == 3
        assert await newest(store, "nv_gpu_utilization", service="triton", instance="10.0.0.1:8500") == 0.5
        assert (await newest(store, "node_memory_MemAvailable_bytes", service="host", instance="here") or 0) > 0
        assert scraper.families()["asked"].help == "Asked."
        for each in (publication, second):
            await each.withdraw()

        async def ended() -> bool:
            found = await store.select([Matcher(NAME, "=", "asked_total")], 0, 1e12)
            return bool(is_stale(found[0].values)[-1])

        await eventually(ended, description="the series of who left have ended")
        assert [each.target.service for each in scraper.targets] == ["host"]
    finally:
        await scraper.close()
        for page_of in (metrics, triton_page):
            await asyncio.to_thread(page_of.close)


async def test_one_that_hangs_holds_up_nobody(store: MetricStore) -> None:
    async with serving(hang) as hanging, serving(page("a 1\n")) as good:
        fixed = {Target("hanging", "h:1", hanging), Target("good", "h:2", good)}
        scraper = Scraper(MemoryStore(), store, fixed, OPTIONS)
        await scraper.start()

        async def measured() -> Series | None:
            found = await store.select([Matcher(NAME, "=", "a")], 0, 1e12)
            return found[0] if found and len(found[0].values) >= 4 else None

        await eventually(measured, description="the good one is measured again and again")
        await scraper.close()


async def test_nonsense_in_the_shared_state_is_nobodys_target(store: MetricStore) -> None:
    state = MemoryStore()
    await state.put("/lepton/endpoints/x/nonsense", b"{")
    evil = {"Addr": "h:1", "Metadata": {"metrics": "unix:/run/docker.sock"}}
    await state.put("/lepton/endpoints/evil/h:1", json.dumps(evil).encode())
    async with serving(page("a 1\n")) as good:
        scraper = Scraper(state, store, {Target("good", "h:2", good)}, OPTIONS)
        await scraper.start()
        await eventually(lambda: newest(store, "a"), description="others are measured")
        found = next(each for each in scraper.targets if each.target.service == "evil")
        await eventually(lambda: bool(found.last.error), description="what is no address is down")
        assert found.target.address == ""
        await scraper.close()
