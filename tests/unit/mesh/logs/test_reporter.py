"""What waits is told to health, in order and once; while health is away it is told later, and never more often."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from lepton_ai.credentials import Metadata
from lepton_ai.errors import Unauthenticated, Unavailable
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.logs.reporter import LogReporter
from lepton_ai.mesh.logs.waiting import MOST_WAITING, WaitingRecords
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.serving.tokens import Tokens
from lepton_ai.v1 import events_pb2 as pb
from tests.virtual_time import run_in_virtual_time

_log = logging.getLogger("lepton.test.reporter")


class Health:
    """In place of a pool of health services."""

    def __init__(self) -> None:
        self.reports: list[pb.ReportLogsRequest] = []
        self.attempts: list[float] = []
        self.is_away = False
        self.tokens = Tokens()

    async def call(self, invoke: Callable[[Any, float], Awaitable[Any]], *, timeout_s: float) -> Any:
        self.attempts.append(asyncio.get_running_loop().time())
        if self.is_away:
            logging.getLogger("lepton.test.reporter").error("the call fails")  # as layers below may say
            raise Unavailable("Health is away.")
        sent: list[pb.ReportLogsRequest] = []
        channel = SimpleNamespace(
            unary_unary=lambda method, **_: lambda request, **options: self._take(sent, request, **options),
            **{name: lambda *_, **__: None for name in ("unary_stream", "stream_unary", "stream_stream")},
        )
        await invoke(channel, timeout_s)
        self.reports += sent

    async def _take(
        self, sent: list[pb.ReportLogsRequest], request: pb.ReportLogsRequest, *, metadata: Metadata, **_: object
    ) -> None:
        if self.tokens and self.tokens.identify(metadata) is None:
            raise Unauthenticated("The call does not show the platform's token.")
        sent.append(request)

    def messages(self) -> list[str]:
        return [record.message for report in self.reports for record in report.records]


class World:
    def __init__(self) -> None:
        self.health = Health()
        self.waiting = WaitingRecords()
        self.metrics = CollectorRegistry()
        server = SimpleNamespace(name="inference", address="127.0.0.1:8500")
        self.reporter = LogReporter(
            cast("Server", server), self.waiting, cast("ServicePool", self.health), self.metrics, token="ours"
        )


def run(monkeypatch: pytest.MonkeyPatch, work: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def inside() -> None:
        world = World()
        _log.addHandler(world.waiting)
        try:
            world.reporter.start()
            await work(world)
        finally:
            await world.reporter.close()
            _log.removeHandler(world.waiting)

    run_in_virtual_time(inside(), monkeypatch)


def test_records_are_told_together_soon_after_the_first_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        await asyncio.sleep(3600)
        _log.warning("one")
        _log.error("two")
        await asyncio.sleep(1)
        (report,) = world.health.reports
        assert (report.service, report.instance, report.first) == ("inference", "127.0.0.1:8500", 1)
        assert world.health.messages() == ["one", "two"]
        assert world.health.attempts == [3600.5], "a process without warnings does nothing"
        _log.warning("three")
        await asyncio.sleep(1)
        assert world.health.reports[1].first == 3
        assert world.health.reports[1].process == report.process

    run(monkeypatch, work)


def test_a_process_shows_the_platforms_token(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        world.health.tokens = Tokens("ours")
        _log.warning("one")
        await asyncio.sleep(1)
        assert world.health.messages() == ["one"]

    run(monkeypatch, work)


def test_a_wrong_token_is_said_once_in_the_log_and_what_waits_is_told_when_it_is_right(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(world: World) -> None:
        world.health.tokens = Tokens("theirs")
        _log.warning("one")
        await asyncio.sleep(60)
        assert caplog.text.count("health takes no log records") == 1
        world.health.tokens = Tokens("ours")
        await asyncio.sleep(30)
        assert world.health.messages() == ["one"]

    run(monkeypatch, work)


def test_while_health_is_away_records_wait_and_are_tried_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        world.health.is_away = True
        for index in range(MOST_WAITING + 5):
            _log.warning("%d", index)
        await asyncio.sleep(600)
        assert 50 <= len(world.health.attempts) <= 130
        world.health.is_away = False
        await asyncio.sleep(30)
        assert world.health.messages() == [str(index) for index in range(MOST_WAITING)], "in order, and nothing else"
        assert [report.first for report in world.health.reports] == [1, 201, 401, 601, 801]
        assert world.health.reports[-1].lost == 5
        assert world.metrics.get_sample_value("lepton_log_records_not_reported_total") == 5

    run(monkeypatch, work)


def test_the_last_records_are_told_when_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        _log.warning("the end")
        await world.reporter.close()
        assert world.health.messages() == ["the end"]

    run(monkeypatch, work)
