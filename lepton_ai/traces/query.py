"""The parameters of Jaeger's queries, read from a query string and checked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lepton_ai.errors import InvalidInput

_DEFAULT_LIMIT = 100
_MAX_LIMIT = 1000
_DEFAULT_LOOKBACK_US = 2 * 24 * 3600 * 1_000_000
_MAX_TIME_US = 2**62
_DEFAULT_DEPENDENCY_LOOKBACK_MS = 24 * 3600 * 1000
_UNITS_US = {
    "ns": 0.001,
    "us": 1.0,
    "µs": 1.0,  # micro sign
    "μs": 1.0,  # Greek mu; Go takes both
    "ms": 1e3,
    "s": 1e6,
    "m": 60e6,
    "h": 3600e6,
    "d": 86_400e6,
    "w": 604_800e6,
}
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h|d|w)")
_TRACE_ID = re.compile(r"[0-9a-fA-F]{1,32}")

Parameters = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class TraceQuery:
    """Which traces are wanted: those with one span that meets all of this."""

    service: str
    operation: str = ""
    start_us: int = 0
    end_us: int = _MAX_TIME_US
    min_duration_us: int = 0
    max_duration_us: int = _MAX_TIME_US
    tags: Mapping[str, str] = field(default_factory=dict)
    limit: int = _DEFAULT_LIMIT
    trace_ids: tuple[bytes, ...] = ()
    """When given, these traces and nothing else are wanted."""


@dataclass(frozen=True)
class DependencyQuery:
    """Which calls between services are wanted: those that began in this time, of one service or (empty name) all."""

    start_us: int
    end_us: int
    service: str = ""


def parse_dependency_query(parameters: Parameters, *, now_us: int) -> DependencyQuery:
    """Read Jaeger's `endTs` (by default now) and `lookback` (a day), both in milliseconds; raises InvalidInput."""
    end_us = _integer(parameters, "endTs", now_us // 1000) * 1000
    lookback_us = _integer(parameters, "lookback", _DEFAULT_DEPENDENCY_LOOKBACK_MS) * 1000
    return DependencyQuery(end_us - lookback_us, end_us, _first(parameters, "service"))


def parse_operations_query(parameters: Parameters) -> tuple[str, str]:
    """The service whose operations are wanted, and their kind or an empty text for all; raises InvalidInput."""
    service = _first(parameters, "service")
    if not service:
        raise InvalidInput.of_field("service", "parameter 'service' is required")
    return service, _first(parameters, "spanKind")


def parse_query(parameters: Parameters, *, now_us: int) -> TraceQuery:
    """Read a search as Jaeger's UI sends it; raises InvalidInput with the parameter's name.

    Without `start` it reaches `lookback` (Jaeger's default: two days) back from `end`, which is now by default.
    """
    trace_ids = tuple(parse_trace_id(value) for value in parameters.get("traceID", ()))
    service = _first(parameters, "service")
    if not service and not trace_ids:
        raise InvalidInput.of_field("service", "parameter 'service' is required")
    end_us = _integer(parameters, "end", now_us)
    lookback_us = _duration(parameters, "lookback", _DEFAULT_LOOKBACK_US)
    minimum, maximum = _duration(parameters, "minDuration", 0), _duration(parameters, "maxDuration", _MAX_TIME_US)
    if maximum < minimum:
        raise InvalidInput.of_field("maxDuration", "'maxDuration' should be greater than 'minDuration'")
    return TraceQuery(
        service=service,
        operation=_first(parameters, "operation"),
        start_us=_integer(parameters, "start", end_us - lookback_us),
        end_us=end_us,
        min_duration_us=minimum,
        max_duration_us=maximum,
        tags=_tags(parameters),
        limit=parse_limit(parameters),
        trace_ids=trace_ids,
    )


def parse_limit(parameters: Parameters) -> int:
    """How many results are wanted: 1 to 1000, 100 when not said; more than that is cut."""
    return min(max(1, _integer(parameters, "limit", _DEFAULT_LIMIT)), _MAX_LIMIT)


def parse_trace_id(text: str) -> bytes:
    """A trace id of up to 32 hexadecimal digits; leading zeros may be missing, as Jaeger allows."""
    if not _TRACE_ID.fullmatch(text):
        raise InvalidInput.of_field("traceID", "must be 1 to 32 hexadecimal digits")
    return bytes.fromhex(text.zfill(32))


def _first(parameters: Parameters, name: str) -> str:
    values = parameters.get(name)
    return values[0] if values else ""


def _integer(parameters: Parameters, name: str, default: int) -> int:
    text = _first(parameters, name)
    if not text:
        return default
    try:
        number = int(text)
    except ValueError as error:
        raise InvalidInput.of_field(name, f"unable to parse param '{name}': not a whole number") from error
    return max(-_MAX_TIME_US, min(number, _MAX_TIME_US))


def _duration(parameters: Parameters, name: str, default_us: int) -> int:
    """A duration in Go's notation ("1.5s", "2m30s"), and days and weeks as the UI's lookback has them."""
    text = _first(parameters, name)
    if not text:
        return default_us
    parts = _DURATION.findall(text)
    if "".join(parts) != text:
        raise InvalidInput.of_field(name, f"unable to parse param '{name}': a duration looks like 1.5s, 300ms or 2h")
    total_us = sum(float(number) * _UNITS_US[unit] for number, unit in map(_split_unit, parts))
    return min(int(total_us), _MAX_TIME_US)


def _split_unit(part: str) -> tuple[str, str]:
    number = part.rstrip("nuµμmshdw")
    return number, part[len(number) :]


def _tags(parameters: Parameters) -> dict[str, str]:
    tags: dict[str, str] = {}
    for pair in parameters.get("tag", ()):
        key, colon, value = pair.partition(":")
        if not colon:
            raise InvalidInput.of_field("tag", "malformed 'tag' parameter, expecting key:value")
        tags[key] = value
    for document in parameters.get("tags", ()):
        tags.update(_json_tags(document))
    return tags


def _json_tags(document: str) -> dict[str, str]:
    try:
        tags = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise InvalidInput.of_field("tags", "malformed 'tags' parameter, cannot unmarshal JSON") from error
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise InvalidInput.of_field("tags", "malformed 'tags' parameter, expecting an object of strings")
    return tags
