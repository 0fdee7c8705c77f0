"""Reads lines that programs write who tell health nothing: what is a WARNING and up becomes a record."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from lepton_ai.mesh.logs.waiting import MAX_EXCEPTION, MAX_FIELD, MAX_FIELDS, MAX_MESSAGE
from lepton_ai.v1 import events_pb2 as pb

_TRITON = re.compile(r"([IWEF])(\d{4} \d{2}:\d{2}:\d{2}\.\d{1,6})\s+\d+ ([^\s:]+):\d+\] ?(.*)", re.DOTALL)
"""`W1130 11:05:32.954838 24495 metrics.cc:798] "DCGM unable to start"`, as glog has them, in local time."""
_PYTHON = re.compile(r"(\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}),(\d{3}) ([A-Z]+) (\S+) (.*)", re.DOTALL)
"""`2026-11-30 11:05:34,692 ERROR lepton_ai.traces the disk is full`, in local time."""
_OURS = re.compile(r"(\d{4}-\d{2}-\d{2}T[\d:]{8}\.\d{3}Z) ([A-Za-z]+) (\S+) (.*?)(?: \((\S+)\))?", re.DOTALL)
"""`2026-11-30T11:05:32.456Z warning envoy no memory (envoy.main)`: of our services, and of the Envoy in them."""
_LOGFMT = re.compile(r"(?:logger=\S+ )?(?:ts|time|t)=\d{4}-")
"""`ts=2026-11-30T11:05:32.456Z caller=main.go:5 level=warn msg="slow disk"`: Prometheus, Alertmanager, Grafana; of what
it begins with, they differ."""
_PAIR = re.compile(r'([A-Za-z_][\w.]*)=("(?:[^"\\]|\\.)*"|\S*)')
_POSTGRESQL = re.compile(r"(\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{3}) (?:UTC|GMT) \[\d+\] ([A-Z]+):  (.*)", re.DOTALL)
"""`2026-11-30 11:05:32.456 UTC [42] ERROR:  the disk is full`."""
_VALKEY = re.compile(r"\d+:[A-Z] (\d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2}\.\d{3}) (\S) (.*)", re.DOTALL)
"""`1:M 30 Nov 2026 11:05:32.456 # the disk is full`, in local time; `#` is a warning."""
_LEVELS: dict[str, pb.LogLevel.ValueType] = {
    "W": pb.LOG_LEVEL_WARNING,
    "E": pb.LOG_LEVEL_ERROR,
    "F": pb.LOG_LEVEL_CRITICAL,
    "warn": pb.LOG_LEVEL_WARNING,
    "error": pb.LOG_LEVEL_ERROR,
    "dpanic": pb.LOG_LEVEL_CRITICAL,
    "panic": pb.LOG_LEVEL_CRITICAL,
    "fatal": pb.LOG_LEVEL_CRITICAL,
    "WARNING": pb.LOG_LEVEL_WARNING,
    "ERROR": pb.LOG_LEVEL_ERROR,
    "CRITICAL": pb.LOG_LEVEL_CRITICAL,
    "WARN": pb.LOG_LEVEL_WARNING,
    "FATAL": pb.LOG_LEVEL_CRITICAL,
    "PANIC": pb.LOG_LEVEL_CRITICAL,
    "#": pb.LOG_LEVEL_WARNING,
}
"""Of glog, of the zap of etcd and Jaeger and Grafana, of Python, of Prometheus, of PostgreSQL, of Valkey."""
_ENVOY = "envoy"
_ENVOY_LEVELS = {"warning": "WARNING", "error": "ERROR", "critical": "CRITICAL"}
_ZAP_OWN = frozenset({"level", "ts", "caller", "msg", "logger", "stacktrace", "resource"})
_LOGFMT_OWN = frozenset({"level", "ts", "time", "t", "caller", "source", "msg", "logger"})


class LineReader:
    """Reads the lines of one file in order. Lines that begin no record belong to the one before, as tracebacks do."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._open: pb.LogRecord | None = None

    def read(self, line: str) -> pb.LogRecord | None:
        """The record before this line, when the line has ended one."""
        try:
            begun = _triton(line, self._now_s()) or next(filter(None, (read(line) for read in _READERS)), None)
        except (ValueError, OverflowError):  # a date that is none, for instance
            begun = None
        if begun is None:
            if self._open is not None and len(self._open.exception) < MAX_EXCEPTION:
                self._open.exception = f"{self._open.exception}{line}\n"[:MAX_EXCEPTION]
            return None
        return self._end(begun)

    def flush(self) -> pb.LogRecord | None:
        """The last record, when no line follows for now."""
        return self._end(None)

    def _end(self, begun: pb.LogRecord | None) -> pb.LogRecord | None:
        ended, self._open = self._open, begun if begun is not None and begun.level else None
        return ended


def _triton(line: str, now_s: float) -> pb.LogRecord | None:
    found = _TRITON.match(line)
    if found is None:
        return None
    level, moment, file, message = found.groups()
    now = datetime.fromtimestamp(now_s)
    at = datetime.strptime(f"{now.year}{moment}", "%Y%m%d %H:%M:%S.%f")
    if at > now + timedelta(days=1):
        at = at.replace(year=now.year - 1)
    return _record(level, at, file, _unquoted(message))


def _zap(line: str) -> pb.LogRecord | None:
    if not line.startswith('{"level":'):
        return None
    try:
        said = json.loads(line)
    except ValueError:
        return None
    if "msg" not in said:
        return None
    at = _moment(said["ts"]) if "ts" in said else datetime.now(UTC)
    caller = str(said.get("caller", "")).rpartition(":")[0]
    record = _record(str(said["level"]), at, caller, str(said["msg"]))
    for name in [name for name in said if name not in _ZAP_OWN][:MAX_FIELDS]:
        record.fields[name[:MAX_FIELD]] = str(said[name])[:MAX_FIELD]
    record.exception = str(said.get("stacktrace", ""))[:MAX_EXCEPTION]
    return record


def _moment(said: object) -> datetime:
    """As zap writes times: in words, or in seconds since 1970."""
    if isinstance(said, int | float):
        return datetime.fromtimestamp(said, UTC)
    return datetime.fromisoformat(str(said))


def _python(line: str) -> pb.LogRecord | None:
    found = _PYTHON.match(line)
    if found is None:
        return None
    moment, milliseconds, level, logger, message = found.groups()
    at = datetime.fromisoformat(f"{moment}.{milliseconds}")
    return _record(level, at, logger, message)


def _ours(line: str) -> pb.LogRecord | None:
    """Of a service's own lines only where they begin: it tells health of its records itself."""
    found = _OURS.fullmatch(line)
    if found is not None:
        moment, level, service, message, logger = found.groups()
    elif line.startswith('{"time": '):
        try:
            said = json.loads(line)
        except ValueError:
            return None
        moment, level, service = str(said["time"]), str(said.get("level", "")), said.get("service")
        message, logger = str(said.get("message", "")), str(said.get("logger", ""))
    else:
        return None
    level = _ENVOY_LEVELS.get(level, "") if service == _ENVOY else ""
    return _record(level, datetime.fromisoformat(moment), logger or "", message)


def _logfmt(line: str) -> pb.LogRecord | None:
    if not _LOGFMT.match(line):
        return None
    said = {name: _unquoted(value) for name, value in _PAIR.findall(line)}
    moment = said.get("ts") or said.get("time") or said["t"]
    where = said.get("caller") or said.get("source") or said.get("logger", "")
    record = _record(
        said.get("level", ""), datetime.fromisoformat(moment), where.partition(":")[0], said.get("msg", "")
    )
    for name in [name for name in said if name not in _LOGFMT_OWN][:MAX_FIELDS]:
        record.fields[name[:MAX_FIELD]] = said[name][:MAX_FIELD]
    return record


def _postgresql(line: str) -> pb.LogRecord | None:
    found = _POSTGRESQL.match(line)
    if found is None:
        return None
    moment, level, message = found.groups()
    return _record(level, datetime.fromisoformat(f"{moment}+00:00"), "postgresql", message)


def _valkey(line: str) -> pb.LogRecord | None:
    found = _VALKEY.match(line)
    if found is None:
        return None
    moment, level, message = found.groups()
    return _record(level, datetime.strptime(moment, "%d %b %Y %H:%M:%S.%f"), "valkey", message)


_READERS = (_ours, _zap, _python, _logfmt, _postgresql, _valkey)


def _record(level: str, at: datetime, logger: str, message: str) -> pb.LogRecord:
    """With no level, where it is below WARNING; `at` is local time where it does not say."""
    known = _LEVELS.get(level, pb.LOG_LEVEL_UNSPECIFIED)
    record = pb.LogRecord(level=known, logger=logger[:MAX_FIELD], message=message[:MAX_MESSAGE])
    record.at.FromDatetime(at.astimezone(UTC))
    return record


def _unquoted(message: str) -> str:
    """Of a message in quotation marks what stands between them: else all would look alike to whoever groups them."""
    if len(message) > 1 and message[0] == message[-1] == '"':
        return message[1:-1].replace('\\"', '"')
    return message
