"""One record is one line, whatever is in it; JSON stays JSON; the trace id is there when there is a trace."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest

from lepton_ai.mesh.logs import configure_logging
from lepton_ai.mesh.tracing import current_trace_id
from lepton_ai.testing import captured_spans

_NASTY = "a\nb\r\nc\x1b[31m\x85\u2028猫 \udc80"


@pytest.fixture(autouse=True)
def root_logger_restored() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


def lines_of(log_format: Literal["text", "json"], *arguments: object, **fields: object) -> list[str]:
    stream = io.StringIO()
    configure_logging("test", log_format=log_format, stream=stream)
    logging.getLogger("lepton.x").info("got %s", *arguments, extra=fields)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_text_breaks_out_of_its_line(log_format: Literal["text", "json"]) -> None:
    lines = lines_of(log_format, _NASTY, field=_NASTY)
    assert len(lines) == 1
    assert "\x1b" not in lines[0]
    assert "猫" in lines[0]


def test_addresses_of_webhooks_are_in_no_log() -> None:
    stream = io.StringIO()
    configure_logging("test", stream=stream)
    logging.getLogger("httpx").info("HTTP Request: POST https://hooks.example/secret")
    assert stream.getvalue() == ""


def test_json_lines_hold_fields_and_the_original_text() -> None:
    (line,) = lines_of("json", "a\nb猫", model="cat", rows=3)
    document = json.loads(line)
    assert document["message"] == "got a\nb猫"
    assert (document["model"], document["rows"], document["service"]) == ("cat", 3, "test")


def test_text_lines_hold_fields() -> None:
    (line,) = lines_of("text", "it", model="cat", rows=3)
    assert 'got it model="cat" rows=3 (lepton.x)' in line


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_trace_id_is_noted_inside_a_trace(log_format: Literal["text", "json"]) -> None:
    with captured_spans() as captured, captured.tracing.span("work"):
        trace_id = current_trace_id()
        (line,) = lines_of(log_format, "it")
    assert trace_id is not None
    assert trace_id in line
    assert "trace_id" not in lines_of(log_format, "it")[0]


def test_tracebacks_stay_on_the_line_of_their_record() -> None:
    stream = io.StringIO()
    configure_logging("test", log_format="json", stream=stream)
    try:
        raise ValueError("x")
    except ValueError:
        logging.getLogger("lepton.x").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "Traceback" in json.loads(line)["exception"]
