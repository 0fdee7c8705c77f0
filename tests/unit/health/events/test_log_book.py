"""Records are kept once, within bounds, grouped and found again, over restarts of health and of its clients."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.v1 import events_pb2 as pb
from services.health.events.database import EventsDatabase
from services.health.events.logs.checks import check_report
from services.health.events.logs.log_book import LogBook
from tests.unit.health.events.reports import record, report

ALL = pb.ListLogsRequest()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[EventsDatabase]:
    database = EventsDatabase(tmp_path / "events.sqlite")
    yield database
    await database.close()


@pytest.fixture
async def book(database: EventsDatabase) -> LogBook:
    return await open_book(database)


async def open_book(database: EventsDatabase, *, max_records: int = 5000, max_templates: int = 100) -> LogBook:
    book = LogBook(database, max_records=max_records, max_templates=max_templates)
    await book.start()
    return book


async def messages(book: LogBook, **wanted: object) -> list[str]:
    return [each.message for each in await book.records(pb.ListLogsRequest(**wanted), limit=10_000)]  # type: ignore[arg-type]


async def test_records_are_found_by_what_they_have(book: LogBook) -> None:
    await book.take(report(record("one", trace_id="a" * 32), record("two", level=pb.LOG_LEVEL_ERROR)))
    await book.take(report(record("模型 猫 无法加载", at_s=1_700_000_100.0), process="p2", service="registry"))
    assert await messages(book) == ["模型 猫 无法加载", "two", "one"]
    assert await messages(book, service="registry") == await messages(book, text="猫 无法")
    assert await messages(book, trace_id="a" * 32) == ["one"]
    assert await messages(book, level=pb.LOG_LEVEL_ERROR) == ["two"]
    assert await messages(book, instance="b:1") == []
    (found,) = await book.records(pb.ListLogsRequest(trace_id="a" * 32), limit=9)
    assert (found.service, found.instance, found.template_id) == ("inference", "a:1", 1)


async def test_what_is_reported_again_is_kept_once(book: LogBook) -> None:
    one, two, three = record("one"), record("two"), record("three")
    await book.take(report(one, two))
    await book.take(report(one, two))  # the answer was lost on its way
    await book.take(report(two, three, first=2))
    await book.take(report(one, process="another"))
    assert await messages(book) == ["one", "three", "two", "one"]
    assert [each.count for each in await book.templates(limit=9)] == [2, 1, 1]


async def test_templates_are_counted_by_service_and_level_with_an_example_that_has_a_trace(book: LogBook) -> None:
    await book.take(
        report(record("took 1 s"), record("took 2 s", trace_id="b" * 32, at_s=1_700_000_050.0), record("took 3 s"))
    )
    await book.take(report(record("took 4 s", level=pb.LOG_LEVEL_ERROR), process="p2"))
    await book.take(report(record("took 5 s"), process="p3", service="registry"))
    first, *others = await book.templates(limit=9)
    assert (first.text, first.count, first.service, first.example.trace_id) == ("took <n> s", 3, "inference", "b" * 32)
    assert first.last_seen.seconds - first.first_seen.seconds == 50
    assert [(each.service, each.level) for each in others] == [("inference", 2), ("registry", 1)]
    assert [each.text for each in await book.templates(service="registry", limit=9)] == ["took <n> s"]
    assert len(await book.templates(level=pb.LOG_LEVEL_ERROR, limit=9)) == 1
    assert len(await book.templates(since_s=1_700_000_049.0, limit=9)) == 1


async def test_failures_of_different_kinds_are_different_templates(book: LogBook) -> None:
    await book.take(
        report(
            *(record("a loop failed", exception=f"Traceback\n  File\n{kind}: x") for kind in ("ValueError", "OSError"))
        )
    )
    assert len(await book.templates(limit=9)) == 2


async def test_templates_are_known_again_after_a_restart(database: EventsDatabase, book: LogBook) -> None:
    await book.take(report(record("took 1 s"), record("模型 猫 无法加载")))
    later = await open_book(database)
    await later.take(report(record("took 9 s"), record("模型 狗 无法加载"), first=3))
    assert sorted((each.text, each.count) for each in await later.templates(limit=9)) == [
        ("took <n> s", 2),
        ("模型 <*> 无法加载", 2),
    ]


async def test_records_and_templates_are_bounded(database: EventsDatabase) -> None:
    book = await open_book(database, max_records=1500, max_templates=5)
    for start in range(0, 3000, 500):
        storm = [record(f"storm {index}") for index in range(start, start + 500)]
        await book.take(report(*storm, first=start + 1))
    assert len(await messages(book)) <= 1001, "one template does not drive out all others"
    letters = [record(letter * 12) for letter in "abcdefghij"]
    await book.take(report(*letters, process="p2"))
    assert len(await book.templates(limit=99)) == 5
    kept = await database.read(lambda connection: connection.execute("SELECT COUNT(*) FROM counts").fetchone()[0])
    assert kept <= 10


async def test_a_clock_that_is_ahead_does_not_hide_its_records(book: LogBook) -> None:
    await book.take(report(record("from tomorrow", at_s=time.time() + 86_400)))
    (found,) = await book.records(ALL, limit=9)
    assert found.at.ToSeconds() <= time.time()


def test_a_report_is_brought_within_bounds() -> None:
    long = record("m" * 9999, exception="e" * 9999, trace_id="t" * 99)
    for index in range(50):
        long.fields[f"{index}"] = "v" * 999
    (checked,) = check_report(report(long)).records
    assert (len(checked.message), len(checked.exception), len(checked.trace_id)) == (2000, 4000, 32)
    assert len(checked.fields) == 20
    assert max(map(len, checked.fields.values())) == 500


@pytest.mark.parametrize(
    "wrong",
    [
        report(*[record("x")] * 1001),
        report(record("x"), process=""),
        report(record("x"), service="s" * 201),
        report(record("x"), first=0),
        report(record("x"), first=1 << 63),
        report(pb.LogRecord(message="x")),
    ],
)
def test_what_no_process_of_ours_sends_is_refused(wrong: pb.ReportLogsRequest) -> None:
    with pytest.raises(InvalidInput):
        check_report(wrong)
