"""Log records of WARNING and up that wait until the health service is told of them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice

from lepton_ai.mesh.logs.formats import extra_fields
from lepton_ai.mesh.tracing.context import current_trace_id
from lepton_ai.v1 import events_pb2

MOST_WAITING = 1000
"""Records that wait; more are counted, and lost: the first ones of a trouble say most about it."""
MAX_MESSAGE, MAX_FIELDS, MAX_FIELD, MAX_EXCEPTION = 2000, 20, 500, 4000
"""Characters, and fields, of one record."""
_FORMATTER = logging.Formatter()
_unreported: ContextVar[bool] = ContextVar("unreported", default=False)


@contextmanager
def unreported() -> Iterator[None]:
    """What is logged in this block, and in tasks that are made in it, is not told to health."""
    token = _unreported.set(True)
    try:
        yield
    finally:
        _unreported.reset(token)


class WaitingRecords(logging.Handler):
    """Keeps records as messages, in bounded memory. To keep one never waits for anybody; it is safe in any thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._records: deque[events_pb2.LogRecord] = deque()
        self._on_first: Callable[[], None] | None = None
        self.taken = 0
        """Records that were taken so far."""
        self.lost = 0
        """Records that there was no room for."""

    def __len__(self) -> int:
        return len(self._records)

    def call_on_first(self, notify: Callable[[], None] | None) -> None:
        """Have `notify` called, in any thread, when a record comes and none waited; it must neither wait nor fail."""
        self._on_first = notify

    def emit(self, record: logging.LogRecord) -> None:
        if _unreported.get():
            return
        if len(self._records) >= MOST_WAITING:
            self.lost += 1
            return
        try:
            message = as_message(record)
        except Exception:  # noqa: BLE001 - what a record's values raise as text is theirs; logging goes on, as it does
            self.handleError(record)
            return
        self._records.append(message)
        if len(self._records) == 1 and self._on_first is not None:
            self._on_first()

    def first(self, count: int) -> list[events_pb2.LogRecord]:
        """The oldest records, which go on waiting."""
        return [self._records[index] for index in range(min(count, len(self._records)))]  # others append meanwhile

    def remove(self, count: int) -> None:
        """Health has been told of the oldest ones."""
        for _ in range(count):
            self._records.popleft()
        self.taken += count


def as_message(record: logging.LogRecord) -> events_pb2.LogRecord:
    """A record within its bounds."""
    message = events_pb2.LogRecord(
        level=level_of(record.levelno),
        logger=_text(record.name, MAX_FIELD),
        message=_text(record.getMessage(), MAX_MESSAGE),
        trace_id=current_trace_id() or "",
    )
    message.at.FromNanoseconds(round(record.created * 1e9))
    for name, value in islice(extra_fields(record).items(), MAX_FIELDS):
        message.fields[_text(name, MAX_FIELD)] = _text(value, MAX_FIELD)
    if record.exc_info:
        message.exception = _text(_FORMATTER.formatException(record.exc_info)[-MAX_EXCEPTION:], MAX_EXCEPTION)
    return message


def level_of(number: int) -> events_pb2.LogLevel.ValueType:
    """Of logging's number, at least WARNING."""
    if number >= logging.CRITICAL:
        return events_pb2.LOG_LEVEL_CRITICAL
    return events_pb2.LOG_LEVEL_ERROR if number >= logging.ERROR else events_pb2.LOG_LEVEL_WARNING


def _text(value: object, most: int) -> str:
    """As UTF-8 can hold it: half a surrogate pair is escaped."""
    return str(value)[:most].encode("utf-8", "backslashreplace").decode()[:most]
