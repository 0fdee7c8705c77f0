"""What Triton, etcd and the trace store write at WARNING and up is in the book, once each, over rotations."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lepton_ai.errors import Unavailable
from lepton_ai.v1 import events_pb2 as pb
from services.health.events.database import EventsDatabase
from services.health.events.logs.files import LogFiles
from services.health.events.logs.lines import LineReader
from services.health.events.logs.log_book import LogBook, seconds_of

NOW_S = datetime(2026, 11, 30, 12, 0, 0).timestamp()
TRITON = """I1130 11:05:32.939967 24495 server.cc:604]
+------------------+------+
| Repository Agent | Path |
+------------------+------+
W1130 11:05:32.954838 24495 metrics.cc:798] "DCGM unable to start: \\"DCGM\\" initialization error"
E1130 11:06:00.100000 24495 pb_stub.cc:402] Failed to run the model
Traceback (most recent call last):
ValueError: 猫
I1130 11:06:01.000000 24495 model_lifecycle.cc:839] "successfully loaded 'cat--v1'"
"""
ETCD = """{"level":"info","ts":"2026-11-30T11:05:32.456Z","caller":"etcdmain/etcd.go:72","msg":"Running"}
{"level":"warn","ts":"2026-11-30T11:11:49.612Z","caller":"wal/wal.go:802","msg":"slow fdatasync","took":"1.46s"}
{"level":"fatal","ts":"2026-11-30T11:12:00.000Z","caller":"etcd.go:203","msg":"no disk","stacktrace":"main.main"}
"""


def read(text: str) -> list[pb.LogRecord]:
    reader = LineReader(lambda: NOW_S)
    found = [*map(reader.read, text.splitlines()), reader.flush()]
    return [each for each in found if each is not None]


def test_warnings_of_triton_are_read_with_what_follows_them() -> None:
    warning, error = read(TRITON)
    assert (warning.level, warning.logger) == (pb.LOG_LEVEL_WARNING, "metrics.cc")
    assert warning.message == 'DCGM unable to start: "DCGM" initialization error'
    assert seconds_of(warning.at) == datetime(2026, 11, 30, 11, 5, 32, 954838).timestamp()
    assert (error.level, error.message) == (pb.LOG_LEVEL_ERROR, "Failed to run the model")
    assert error.exception == "Traceback (most recent call last):\nValueError: 猫\n"


def test_warnings_of_etcd_are_read_with_their_fields() -> None:
    slow, fatal = read(ETCD)
    assert (slow.level, slow.logger, slow.message) == (pb.LOG_LEVEL_WARNING, "wal/wal.go", "slow fdatasync")
    assert dict(slow.fields) == {"took": "1.46s"}
    assert seconds_of(slow.at) == datetime(2026, 11, 30, 11, 11, 49, 612000, tzinfo=UTC).timestamp()
    assert (fatal.level, fatal.exception) == (pb.LOG_LEVEL_CRITICAL, "main.main")


def test_warnings_of_jaeger_are_read_whichever_way_it_writes_times() -> None:
    lines = [
        '{"level":"info","ts":"2026-11-30T11:05:32.456Z","caller":"service@v0.155.0/service.go:247","msg":"Starting"}',
        '{"level":"warn","ts":"2026-11-30T19:05:33.000+0800","msg":"dropping","resource":{"service.name":"jaeger"},"spans":9}',
        '{"level":"error","ts":1796036734.5,"caller":"memory/memory.go:80","msg":"no room"}',
    ]
    dropping, full = read("\n".join(lines))
    assert (dropping.level, dropping.message, dict(dropping.fields)) == (
        pb.LOG_LEVEL_WARNING,
        "dropping",
        {"spans": "9"},
    )
    assert seconds_of(dropping.at) == datetime(2026, 11, 30, 11, 5, 33, tzinfo=UTC).timestamp()
    assert (full.level, full.logger, seconds_of(full.at)) == (pb.LOG_LEVEL_ERROR, "memory/memory.go", 1796036734.5)


def test_warnings_of_the_trace_store_are_read() -> None:
    lines = (
        "2026-11-30 11:05:34,692 INFO lepton_ai.traces ready\n2026-11-30 11:05:35,250 ERROR lepton_ai.traces no disk\n"
    )
    (found,) = read(lines)
    assert (found.level, found.logger, found.message) == (pb.LOG_LEVEL_ERROR, "lepton_ai.traces", "no disk")
    assert seconds_of(found.at) == datetime(2026, 11, 30, 11, 5, 35, 250000).timestamp()


@pytest.mark.parametrize(
    "lines",
    [
        "2026-11-30T11:05:31.456Z INFO inference ready (lepton)\n"
        "2026-11-30T11:05:32.456Z info envoy starting (envoy.main)\n"
        "2026-11-30T11:05:33.456Z error envoy no (more) memory (envoy.main)\n"
        "2026-11-30T11:05:34.456Z ERROR inference told by itself (lepton)\n",
        '{"time": "2026-11-30T11:05:33.456Z", "level": "error", "service": "envoy", "logger": "envoy.main", '
        '"message": "no (more) memory"}\n'
        '{"time": "2026-11-30T11:05:34.456Z", "level": "ERROR", "service": "inference", "message": "told by itself"}\n',
    ],
    ids=["text", "json"],
)
def test_of_a_service_only_the_warnings_of_its_envoy_are_read(lines: str) -> None:
    (found,) = read(lines)
    assert (found.level, found.logger, found.message) == (pb.LOG_LEVEL_ERROR, "envoy.main", "no (more) memory")
    assert (seconds_of(found.at), found.exception) == (
        datetime(2026, 11, 30, 11, 5, 33, 456000, tzinfo=UTC).timestamp(), "",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "logger", "message", "fields"),
    [
        pytest.param(
            'ts=2026-11-30T11:05:32.456Z caller=main.go:512 level=info msg="Loading"\n'
            'ts=2026-11-30T11:05:33.456Z caller=scrape.go:12 level=warn component="my rules" msg="slow \\"disk\\""\n',
            "scrape.go", 'slow "disk"', {"component": "my rules"}, id="prometheus 2",
        ),
        pytest.param(
            "time=2026-11-30T11:05:32.456Z level=INFO source=main.go:640 msg=\"Starting\"\n"
            "time=2026-11-30T11:05:33.456Z level=WARN source=db.go:77 msg=truncated segments=3\n",
            "db.go", "truncated", {"segments": "3"}, id="prometheus 3",
        ),
        pytest.param(
            'logger=settings t=2026-11-30T11:05:32.4Z level=info msg="Starting Grafana"\n'
            'logger=sqlstore t=2026-11-30T11:05:33.456Z level=warn msg="database is locked" tries=2\n',
            "sqlstore", "database is locked", {"tries": "2"}, id="grafana",
        ),
        pytest.param(
            "2026-11-30 11:05:32.456 UTC [1] LOG:  starting PostgreSQL 18\n"
            "2026-11-30 11:05:33.456 UTC [42] WARNING:  there is no transaction in progress\n",
            "postgresql", "there is no transaction in progress", {}, id="postgresql",
        ),
    ],
)  # fmt: skip
def test_warnings_of_what_stands_beside_the_platform_are_read(
    lines: str, logger: str, message: str, fields: dict[str, str]
) -> None:
    (found,) = read(lines)
    assert (found.level, found.logger, found.message) == (pb.LOG_LEVEL_WARNING, logger, message)
    assert dict(found.fields) == fields
    assert seconds_of(found.at) == datetime(2026, 11, 30, 11, 5, 33, 456000, tzinfo=UTC).timestamp()


def test_warnings_of_the_shared_cache_are_read() -> None:
    lines = "1:M 30 Nov 2026 11:05:32.456 * Ready to accept connections\n1:M 30 Nov 2026 11:05:33.456 # Out of memory\n"
    (found,) = read(lines)
    assert (found.level, found.message) == (pb.LOG_LEVEL_WARNING, "Out of memory")
    assert seconds_of(found.at) == datetime(2026, 11, 30, 11, 5, 33, 456000).timestamp()


def test_a_line_of_triton_of_last_december_is_of_last_year() -> None:
    (found,) = read("W1231 23:59:59.000000 1 a.cc:1] late")
    assert seconds_of(found.at) < NOW_S


@pytest.mark.parametrize(
    "line",
    [
        "W9999 99:99:99.000000 1 a.cc:1] x",
        '{"level":"warn"',
        '{"level":"warn","ts":7}',
        "\0",
        "ts=2026-99-30T11:05:32Z level=warn msg=x",
        "2026-99-30T11:05:32.000Z warning envoy x",
        '{"time": 7',
        '{"time": 7, "service": "envoy"}',
    ],
)
def test_lines_that_are_damaged_are_no_records(line: str) -> None:
    assert read(line) == []


class World:
    """A log file of Triton, and the book that health keeps of it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "triton-1.log"
        self.database = EventsDatabase(directory / "events.sqlite")
        self._lines = 0
        self.files = LogFiles({}, LogBook(self.database, max_records=1, max_templates=1))

    async def open(self) -> LogFiles:
        self.book = LogBook(self.database, max_records=100_000, max_templates=100)
        await self.book.start()
        await self.files.close()
        self.files = LogFiles({"triton-1": self.path}, self.book)
        return self.files

    def write(self, *messages: str, age_s: float = 0.0) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            for message in messages:
                self._lines += 1
                at = datetime.fromtimestamp(time.time() - age_s)
                file.write(f"W{at:%m%d %H:%M:%S}.{self._lines:06d} 7 a.cc:1] {message}\n")

    def rotate(self) -> None:
        self.path.replace(self.path.with_name("triton-1.log.1"))

    async def told(self) -> list[str]:
        found = await self.book.records(pb.ListLogsRequest(service="triton", instance="triton-1"), limit=100_000)
        return [record.message for record in reversed(found)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.files.close()
    await made.database.close()


async def look(files: LogFiles, times: int = 6) -> None:
    for _ in range(times):
        await files.look()


async def test_what_is_written_is_told_under_the_processs_name(world: World) -> None:
    files = await world.open()
    await look(files)  # there is no file yet
    world.write("one")
    await look(files)
    world.write("two", "three")
    await look(files)
    assert await world.told() == ["one", "two", "three"]


async def test_rotations_lose_and_double_nothing(world: World) -> None:
    files = await world.open()
    world.write("one")
    await look(files)
    world.write("two")
    world.rotate()
    world.write("three")
    await look(files)
    assert await world.told() == ["one", "two", "three"]


async def test_what_was_written_while_health_was_away_is_told_when_it_is_back_and_once(world: World) -> None:
    await look(await world.open())
    world.write("one")
    await look(await world.open())
    world.write("two")
    world.rotate()
    world.write("three")
    for _ in range(3):
        await look(await world.open())
    assert await world.told() == ["one", "two", "three"]


async def test_old_records_are_not_told_and_young_ones_are_numbered_as_before(world: World) -> None:
    world.write("last week", age_s=5 * 86_400)
    world.write("today")
    for _ in range(2):
        await look(await world.open())
    world.write("now")
    await look(await world.open())
    assert await world.told() == ["today", "now"]


async def test_a_large_file_is_read_in_parts(world: World) -> None:
    world.write(*(f"{number} {'x' * 1000}" for number in range(2500)))
    files = await world.open()
    await look(files)
    told = [int(message.split()[0]) for message in await world.told()]
    assert told == sorted(set(told))
    assert told[-1] == 2499


async def test_what_the_book_could_not_take_is_told_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    files = await world.open()
    world.write("one")

    async def full(_report: pb.ReportLogsRequest) -> None:
        raise Unavailable("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(world.book, "take", full)
        await files.look()
        with pytest.raises(Unavailable):
            await look(files)
    await look(files)
    assert await world.told() == ["one"]


async def test_a_file_that_cannot_be_read_is_said_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.path.mkdir()
    with caplog.at_level(logging.WARNING):
        await look(await world.open())
    assert caplog.text.count("the log file of triton-1 cannot be read") == 1
