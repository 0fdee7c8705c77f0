"""Search parameters as Jaeger's UI sends them, and what is said about wrong ones."""

from __future__ import annotations

import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.traces.query import TraceQuery, parse_query, parse_trace_id

NOW_US = 1_000_000_000_000_000
DAY_US = 86_400_000_000


def parse(**parameters: str | list[str]) -> TraceQuery:
    lists = {name: value if isinstance(value, list) else [value] for name, value in parameters.items()}
    return parse_query(lists, now_us=NOW_US)


def test_jaegers_defaults() -> None:
    query = parse(service="inference")

    assert (query.service, query.operation, query.limit, query.tags) == ("inference", "", 100, {})
    assert (query.start_us, query.end_us) == (NOW_US - 2 * DAY_US, NOW_US)


def test_everything_at_once() -> None:
    query = parse(
        service="s", operation="o", start="5", end="9", limit="7", minDuration="1.5ms", maxDuration="2m30s",
        tag=["a:1:2", "b:"], tags='{"c": "猫"}', lookback="1h",
    )  # fmt: skip

    assert (query.operation, query.start_us, query.end_us, query.limit) == ("o", 5, 9, 7)
    assert (query.min_duration_us, query.max_duration_us) == (1500, 150_000_000)
    assert query.tags == {"a": "1:2", "b": "", "c": "猫"}


@pytest.mark.parametrize(
    ("lookback", "back_us"),
    [("90s", 90e6), ("1h", 3600e6), ("2d", 2 * DAY_US), ("1w", 7 * DAY_US), ("10µs", 10), ("10μs", 10)],
)
def test_lookback_reaches_back_from_the_end(lookback: str, back_us: float) -> None:
    assert parse(service="s", lookback=lookback, end="5000000000000").start_us == 5_000_000_000_000 - back_us


@pytest.mark.parametrize(("limit", "expected"), [("0", 1), ("-4", 1), ("1000000000000000000000", 1000)])
def test_the_limit_is_kept_within_reason(limit: str, expected: int) -> None:
    assert parse(service="s", limit=limit).limit == expected


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "service"),
        ({"service": ""}, "service"),
        ({"service": "s", "start": "yesterday"}, "start"),
        ({"service": "s", "limit": "1.5"}, "limit"),
        ({"service": "s", "minDuration": "5"}, "minDuration"),
        ({"service": "s", "minDuration": "-5ms"}, "minDuration"),
        ({"service": "s", "lookback": "custom"}, "lookback"),
        ({"service": "s", "minDuration": "2s", "maxDuration": "1s"}, "maxDuration"),
        ({"service": "s", "tag": "alone"}, "tag"),
        ({"service": "s", "tags": "{"}, "tags"),
        ({"service": "s", "tags": '{"a": 1}'}, "tags"),
        ({"service": "s", "tags": "[" * 100_000}, "tags"),
        ({"traceID": "xyz"}, "traceID"),
    ],
)
def test_names_the_parameter_that_is_wrong(parameters: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(**parameters)

    assert caught.value.fields[0].field == field


def test_trace_ids_may_lack_leading_zeros() -> None:
    assert parse_trace_id("AbC") == bytes(14) + b"\x0a\xbc"
    assert parse(traceID=["1", "2"]).trace_ids == (bytes(15) + b"\1", bytes(15) + b"\2")


@pytest.mark.parametrize("text", ["", "g", "0" * 33, "../etc", "١"])
def test_refuses_what_is_no_trace_id(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_trace_id(text)
