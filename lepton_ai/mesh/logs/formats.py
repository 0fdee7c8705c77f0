"""Log lines: one a record, as text or JSON, with fields apart from prose and with the trace id if any."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from lepton_ai.mesh.tracing.context import current_trace_id

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "trace_id"}
_MAX_FIELD_CHARS = 2000
_ESCAPES = {code: f"\\u{code:04x}" for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)}
_ESCAPES |= {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}
"""These escapes are valid in JSON strings too, where everything below 0x20 is escaped already."""


class TextFormatter(logging.Formatter):
    """`2026-11-21T10:42:00.123Z INFO inference loaded model="cat" (lepton.x)`: for people."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={_text(value)}" for name, value in _fields(record).items())
        line = f"{_time(record)} {record.levelname} {self._service} {_escape(record.getMessage())}{fields}"
        if record.exc_info:
            line += f" exception={_text(self.formatException(record.exc_info))}"
        return f"{line} ({record.name})"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: for machines."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return _escape(json.dumps(document, ensure_ascii=False, default=str))


def note_trace(record: logging.LogRecord) -> bool:
    """A filter that lets everything through and notes the id of the current trace."""
    record.trace_id = current_trace_id()
    return True


def extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    """What was given in `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = extra_fields(record)
    trace_id = getattr(record, "trace_id", None)
    return fields | {"trace_id": trace_id} if trace_id else fields


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(value: object) -> str:
    if isinstance(value, int | float | bool) or value is None:
        return str(value)
    return _escape(json.dumps(str(value)[:_MAX_FIELD_CHARS], ensure_ascii=False))


def _escape(text: str) -> str:
    """Control characters made visible, so that no text can forge a line or drive a terminal."""
    return text.translate(_ESCAPES).encode("utf-8", "backslashreplace").decode()
