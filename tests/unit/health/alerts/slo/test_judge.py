"""Promises are judged on series: what is told, how soon, and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from lepton_ai.errors import Unavailable
from services.health.alerts.firing import Firing
from services.health.alerts.memory.records import Slo
from services.health.alerts.slo.counting import Counting
from services.health.alerts.slo.judge import SloJudge
from services.health.metrics.series import Matcher, Series, SeriesReader
from tests.unit.health.alerts.slo.load import START_S, between, constant, load
from tests.virtual_time import run_in_virtual_time

PROMISE = Slo(id="cats", availability=0.999, latency_s=0.25, latency_share=0.99)


class Judging:
    """A judge over series, asked at chosen times of them."""

    def __init__(self, reader: SeriesReader, *slos: Slo) -> None:
        self.judge = SloJudge(lambda: slos or (PROMISE,), Counting(reader))

    async def at(self, hours: float) -> dict[str, Firing]:
        """What is wrong then: alert and window → firing. Nothing that was counted before counts any more."""
        await asyncio.sleep(10 * 86400)
        found = await self.judge.judge(START_S + hours * 3600)
        return {f"{each.labels['alertname']} {each.labels['window']}": each for each in found}


async def at_once(work: Callable[..., object], *arguments: object) -> object:
    return work(*arguments)


def in_time(work: Coroutine[Any, Any, None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "to_thread", at_once)  # a thread would wait for real time
    run_in_virtual_time(work, monkeypatch)


def test_a_clean_load_is_no_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        clean = load(8, rate_per_s=5, failing=constant(0.0002), slow=constant(0.003), seed=1)
        assert await Judging(clean).at(7) == {}

    in_time(work(), monkeypatch)


def test_an_outage_pages_within_minutes_and_stops_soon_after(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        outage = load(8, rate_per_s=5, failing=between(0.5, 4 * 3600, 4.5 * 3600), slow=constant(0.003), seed=2)
        judging = Judging(outage)
        assert await judging.at(3.99) == {}
        found = await judging.at(4 + 3 / 60)  # three minutes of it
        page = found["AvailabilityBurn 1h"]
        assert page.labels["severity"] == "page"
        assert page.labels["model"] == "cats"
        assert "fails too often" in page.annotations["summary"]
        assert float(page.annotations["share"]) > 0.1
        assert page.annotations["impact"] == "callers of cats"
        assert 'model="cats"' in page.annotations["query"]
        assert "AvailabilityBurn 1h" not in await judging.at(4.6)  # six minutes after its end

    in_time(work(), monkeypatch)


def test_answers_that_come_late_page_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        slow = load(8, rate_per_s=5, failing=constant(0.0), slow=between(0.9, 4 * 3600, 5 * 3600), seed=3)
        found = await Judging(slow).at(4.5)
        assert "is too slow (over 250 ms)" in found["LatencyBurn 1h"].annotations["summary"]
        assert not any(name.startswith("Availability") for name in found)

    in_time(work(), monkeypatch)


def test_a_slow_leak_is_a_ticket(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        leak = load(30, rate_per_s=2, failing=constant(0.004), slow=constant(0.003), seed=4)
        found = await Judging(leak).at(29)
        assert set(found) == {"AvailabilityBurn 1d", "AvailabilityBurn 3d"}
        assert {each.labels["severity"] for each in found.values()} == {"ticket"}
        assert "There is data of 25% of the window only." in found["AvailabilityBurn 3d"].annotations["description"]

    in_time(work(), monkeypatch)


def test_few_requests_page_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        few = between(1.0, 6.9 * 3600, 8 * 3600)  # everything fails, which is some four requests
        rare = load(8, rate_per_s=0.01, failing=few, slow=constant(0.0), seed=5)
        assert await Judging(rare).at(7) == {}

    in_time(work(), monkeypatch)


def test_what_has_hardly_any_data_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        young = load(1, rate_per_s=20, failing=constant(0.5), slow=constant(0.0), seed=6)
        judging = Judging(young)
        assert "AvailabilityBurn 6h" not in await judging.at(10 / 60)
        assert "There is data of 25% of the window only." in str((await judging.at(20 / 60)).values())

    in_time(work(), monkeypatch)


def test_how_a_promise_stands_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        leak = load(30, rate_per_s=2, failing=constant(0.0005), slow=constant(0.005), seed=7)
        availability, latency = await Judging(leak).judge.report(PROMISE, START_S + 29 * 3600)
        assert availability.budget_left == pytest.approx(0.5, abs=0.1)
        assert latency.budget_left == pytest.approx(0.5, abs=0.1)
        assert availability.burn_rates.keys() == {"1h", "6h", "1d", "3d"}
        assert availability.coverage == pytest.approx(1 / 12, abs=0.1)

    in_time(work(), monkeypatch)


def test_a_promise_that_was_taken_back_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        outage = load(6, rate_per_s=5, failing=constant(0.5), slow=constant(0.003), seed=2)
        assert await Judging(outage, PROMISE.model_copy(update={"removed": True})).at(5) == {}

    in_time(work(), monkeypatch)


async def test_series_that_cannot_be_read_fail_the_judge_rather_than_end_its_alerts() -> None:
    class Broken:
        async def select(self, matchers: list[Matcher], start_s: float, end_s: float) -> list[Series]:
            raise Unavailable("the series are away")

    with pytest.raises(Unavailable):
        await SloJudge(lambda: (PROMISE,), Counting(Broken())).judge(START_S)  # type: ignore[arg-type]
