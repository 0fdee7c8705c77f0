"""Records of WARNING and up wait in bounded memory, with everything that says what happened."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from lepton_ai.mesh.logs import configure_logging
from lepton_ai.mesh.logs.waiting import (
    MAX_EXCEPTION,
    MAX_FIELD,
    MAX_FIELDS,
    MAX_MESSAGE,
    MOST_WAITING,
    WaitingRecords,
    unreported,
)
from lepton_ai.mesh.tracing import current_trace_id
from lepton_ai.testing import captured_spans
from lepton_ai.v1 import events_pb2 as pb

_log = logging.getLogger("lepton.test")


@pytest.fixture
def waiting() -> Iterator[WaitingRecords]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield configure_logging("test")
    root.handlers[:], root.level = before


def test_warnings_wait_and_what_is_less_does_not(waiting: WaitingRecords) -> None:
    _log.info("well")
    _log.warning("not %s", "well", extra={"model": "猫", "rows": 3})
    _log.critical("bad")
    first, second = waiting.first(10)
    assert (first.level, first.logger, first.message) == (pb.LOG_LEVEL_WARNING, "lepton.test", "not well")
    assert dict(first.fields) == {"model": "猫", "rows": "3"}
    assert second.level == pb.LOG_LEVEL_CRITICAL
    assert first.at.ToNanoseconds() > 0


def test_a_record_names_the_trace_in_which_it_was_logged(waiting: WaitingRecords) -> None:
    with captured_spans() as captured, captured.tracing.span("work"):
        _log.error("inside")
        expected = current_trace_id()
    _log.error("outside")
    assert [record.trace_id for record in waiting.first(2)] == [expected, ""]


def test_an_exception_comes_with_the_end_of_its_traceback(waiting: WaitingRecords) -> None:
    try:
        raise ValueError("x" * 2 * MAX_EXCEPTION + "!")
    except ValueError:
        _log.exception("failed")
    (record,) = waiting.first(1)
    assert record.exception.endswith("x!")
    assert len(record.exception) == MAX_EXCEPTION


def test_what_is_too_long_is_cut_and_what_is_no_text_is_escaped(waiting: WaitingRecords) -> None:
    _log.warning("é" * 2 * MAX_MESSAGE, extra={f"f{index}": "x" * 2 * MAX_FIELD for index in range(2 * MAX_FIELDS)})
    # Not through the logger: what tests log goes into their report, which must be text.
    waiting.handle(logging.LogRecord("lepton.test", logging.WARNING, "", 0, "half a pair: \udc80", (), None))
    long, odd = waiting.first(2)
    assert long.message == "é" * MAX_MESSAGE
    assert len(long.fields) == MAX_FIELDS
    assert {len(value) for value in long.fields.values()} == {MAX_FIELD}
    assert odd.message == "half a pair: \\udc80"


def test_what_there_is_no_room_for_is_counted(waiting: WaitingRecords) -> None:
    for index in range(MOST_WAITING + 7):
        _log.warning("%d", index)
    assert (len(waiting), waiting.lost) == (MOST_WAITING, 7)
    assert waiting.first(1)[0].message == "0", "the first ones of a trouble say most"
    waiting.remove(2)
    _log.warning("again")
    assert (len(waiting), waiting.taken, waiting.lost) == (MOST_WAITING - 1, 2, 7)


def test_whoever_asked_is_told_when_the_first_one_comes(waiting: WaitingRecords) -> None:
    told: list[int] = []
    waiting.call_on_first(lambda: told.append(len(waiting)))
    _log.warning("one")
    _log.warning("two")
    waiting.remove(2)
    _log.warning("three")
    assert told == [1, 1]


def test_records_of_the_reporting_itself_do_not_wait(waiting: WaitingRecords) -> None:
    with unreported():
        _log.error("health is away")
    _log.error("other")
    assert [record.message for record in waiting.first(9)] == ["other"]


def test_a_record_that_cannot_be_made_a_text_of_does_not_end_the_caller(
    waiting: WaitingRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)  # what the lines' handler says of it is not of interest
    _log.warning("%d", "no number")
    assert len(waiting) == 0
